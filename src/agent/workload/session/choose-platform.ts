import type { SessionPlatformName, SessionRunSpec } from "../../../contract/session-spec.ts";
import type { Refusal } from "../driver.ts";

export interface PlatformFacts {
  /** What this box may use, the first that suits first. */
  readonly platforms: readonly SessionPlatformName[];
  readonly isReady: (platform: SessionPlatformName) => boolean;
  /** Where its files are already. */
  readonly held: SessionPlatformName | undefined;
}

export type PlatformChoice = { readonly platform: SessionPlatformName } | { readonly refusal: Refusal };

/**
 * Which platform carries a session. Pure. Where its files are it stays; else the one it names; else the first that suits and
 * answers, and where none answers the first that suits, which it then waits for.
 */
export function choosePlatform(
  { platform, template }: Pick<SessionRunSpec, "platform" | "template">,
  { platforms, isReady, held }: PlatformFacts,
): PlatformChoice {
  if (platform !== undefined) {
    if (!platforms.includes(platform)) {
      const message = `platform: given ${platform}; allowed on this box: ${platforms.join(", ") || "none"}`;
      return { refusal: { rule: "sessions.platforms", message } };
    }
    const misfit = misfitOf(platform, template);
    return misfit === undefined ? { platform } : { refusal: { rule: "spec", message: misfit } };
  }
  const suitable = platforms.filter((one) => suitsUnasked(one, template));
  const chosen = suitable.find((one) => one === held) ?? suitable.find(isReady) ?? suitable[0];
  if (chosen !== undefined) return { platform: chosen };
  const what = template.image === undefined ? "a command without an image" : "an image";
  const allowed = `allowed on this box: ${platforms.join(", ") || "none"}`;
  return { refusal: { rule: "sessions.platforms", message: `template: nothing here runs ${what}; ${allowed}` } };
}

function misfitOf(platform: SessionPlatformName, { image, command }: SessionRunSpec["template"]): string | undefined {
  if (platform === "process") {
    return command === undefined
      ? "template.command: missing; allowed with the platform process: a program"
      : undefined;
  }
  return image === undefined ? `template.image: missing; allowed with the platform ${platform}: an image` : undefined;
}

/** A template with an image never becomes a plain process unless it says so: the program is meant for what the image brings. */
function suitsUnasked(platform: SessionPlatformName, { image }: SessionRunSpec["template"]): boolean {
  return (platform === "process") === (image === undefined);
}
