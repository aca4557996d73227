import { relative } from "node:path";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/**
 * What takes longest, begun in this order: begun last, it would run on while nothing runs beside it. The browsers come before what makes
 * networks, for they drop what is under way whenever an interface of the machine comes or goes.
 */
const SLOWEST: readonly string[] = [
  "test-server/page.browser.test.ts",
  "test-server/installed-agent.systemd.test.ts",
  "test-server/dashboard.browser.test.ts",
  "src/agent/tunnel.stunnel.test.ts",
  "test-server/dashboard-access.browser.test.ts",
  "test-server/dashboard-terminal.browser.test.ts",
  "test-server/session.test.ts",
  "test-server/dashboard-sessions.browser.test.ts",
  "test-server/hub-session.test.ts",
  "test-server/dashboard-tunnels.browser.test.ts",
  "test-server/hub-faults.ffmpeg.test.ts",
  "test-server/dashboard-edit.browser.test.ts",
  "src/agent/swap.ffmpeg.test.ts",
  "src/hub/http/pages.browser.test.ts",
  "test-server/tunnel.stunnel.test.ts",
  "src/agent/workload/stream/stream.ffmpeg.test.ts",
  "test-server/installed-checkout.systemd.test.ts",
  "src/agent/registry-loss.ffmpeg.test.ts",
  "test-server/session.docker.test.ts",
  "test-server/session.podman.test.ts",
  "test-server/session-container-logs.test.ts",
  "test-server/guard.ffmpeg.test.ts",
  "src/agent/canary.ffmpeg.test.ts",
  "src/agent/reboot.ffmpeg.test.ts",
  "src/agent/lifecycle.ffmpeg.test.ts",
  "test-server/redis-away.ffmpeg.test.ts",
  "test-server/uplink.ffmpeg.test.ts",
  "test-server/health.nginx.test.ts",
  "test-server/hub-tunnel.stunnel.test.ts",
  "test-server/tunnel-faults.stunnel.test.ts",
  "test-server/hub-torture/hub-torture.redis.test.ts",
  "src/hub/hub-process.test.ts",
  "src/hub/tls/client-certificates.test.ts",
  "src/base/state-lock.test.ts",
];

/** Runs what is known to be slow first. All else comes as Vitest has it, which knows sizes alone in a fresh checkout. */
export class SlowestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const found = SLOWEST.indexOf(relative(this.ctx.config.root, moduleId));
      return found === -1 ? SLOWEST.length : found;
    };
    return (await super.sort(files)).toSorted((one, other) => rank(one) - rank(other));
  }
}
