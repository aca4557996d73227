import { expect, test } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { openEvents } from "../box-client.fake.ts";
import { startTestHub } from "../hub-world.fake.ts";

test("who watches hears that a command was not answered in time, whether it was sent or not", async () => {
  await using hub = await startTestHub();
  const key = await hub.enrol("north-1");
  await hub.enrol("south-1");
  using watcher = await openEvents(`${hub.origin}/v1/events`, { token: hub.tokens.viewer });
  await watcher.until(() => true);
  using box = await openEvents(`${hub.origin}/v1/boxes/north-1/events`, { token: key });
  const asked = systemClock.monotonicMs();
  for (const id of ["north-1", "south-1"]) {
    const made = await hub.ask("POST", `/v1/boxes/${id}/commands`, { body: { name: "reconcile", deadlineSeconds: 1 } });
    expect(made.status).toBe(201);
  }
  await box.until(({ name }) => name === "command");
  const heard = async (of: string) => {
    const { data } = await watcher.until(({ data }) => {
      const event = data as { kind?: string; box?: string };
      return event.kind === "command.expired" && event.box === of;
    });
    return data;
  };
  expect(await heard("north-1")).toMatchObject({
    text: "command reconcile of north-1 expired: no answer before the deadline",
    data: { name: "reconcile", wasSent: true },
  });
  expect(await heard("south-1")).toMatchObject({ data: { wasSent: false } });
  expect(systemClock.monotonicMs() - asked).toBeGreaterThan(900);
  const list = await hub.ask("GET", "/v1/boxes/north-1/commands");
  expect(list.body.items).toMatchObject([{ state: "expired" }]);
});
