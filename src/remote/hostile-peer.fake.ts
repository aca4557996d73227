import { create, type MessageInitShape } from "@bufbuild/protobuf";
import fc from "fast-check";
import { type Frame, FrameSchema } from "../contract/proto/sluice/router/v1/frame_pb.js";
import type { Carrier } from "./carrier.ts";
import { decodeFrame, encodeControl } from "./frame.ts";
import { helloBody } from "./frame-bodies.ts";

/** What an end sends that keeps to the form of frames and to nothing else. */
export type HostileFrame =
  | { readonly kind: "frame"; readonly channel: number; readonly body: Frame["body"]; readonly step: number }
  | { readonly kind: "bytes"; readonly bytes: Uint8Array };

const size = fc.oneof(
  fc.constantFrom(0n, 1n, 65_536n, 262_144n, 2n ** 32n, 2n ** 63n, 2n ** 64n - 1n),
  fc.bigInt(0n, 1000n),
);
const small = fc.oneof(fc.constantFrom(0, 1, 2, 3, 4, 255, 65_535, 4_294_967_295), fc.integer({ min: 0, max: 300 }));
const text = fc.oneof(
  fc.constantFrom("", "refused", "not-found", "KILL", "TERM", "../../etc", "\0", "127.0.0.1", "😀".repeat(200)),
  fc.string({ maxLength: 40 }),
);
const bytes = fc.uint8Array({ maxLength: 300 });
const pipe = fc.constantFrom(0, 1, 2, 3, 9);
const problem = fc.record({ code: text, message: text });
const place = fc.record({ host: text, port: small });

type Body = NonNullable<MessageInitShape<typeof FrameSchema>["body"]>;
const of = <Case extends NonNullable<Body["case"]>>(name: Case, value: fc.Arbitrary<object>) =>
  value.map((fields) => create(FrameSchema, { body: { case: name, value: fields } as Body }).body);

const exec = fc.record({
  argv: fc.oneof(fc.constant(["/bin/cat"]), fc.array(text, { maxLength: 3 })),
  env: fc.dictionary(text, text, { maxKeys: 2 }),
  cwd: text,
  user: text,
  stdin: fc.boolean(),
});
const how = fc.oneof(
  small.map((value) => ({ case: "code" as const, value })),
  text.map((value) => ({ case: "signal" as const, value })),
);
const body: fc.Arbitrary<Frame["body"]> = fc.oneof(
  of("data", fc.record({ pipe, bytes })),
  of(
    "open",
    fc.record({
      what: fc.oneof(
        exec.map((value) => ({ case: "exec" as const, value })),
        place.map((value) => ({ case: "dial" as const, value })),
        place.map((value) => ({ case: "associate" as const, value })),
        fc.constant({ case: "attach" as const, value: {} }),
      ),
      initialCredit: size,
    }),
  ),
  of("opened", fc.record({ initialCredit: size, pid: small, droppedBytes: size })),
  of("refused", problem),
  of("credit", fc.record({ pipe, upTo: size })),
  of("fin", fc.record({ pipe, total: size })),
  of("stop", fc.record({ pipe })),
  of("reset", problem),
  of("resize", fc.record({ cols: small, rows: small })),
  of("signal", fc.record({ name: text })),
  of(
    "exit",
    fc.record({
      how,
      killedBy: fc.integer({ min: 0, max: 9 }),
      outTotal: size,
      outSha256: bytes,
      errTotal: size,
      errSha256: bytes,
      outputOpenAfterExit: fc.boolean(),
      wallMs: size,
    }),
  ),
  of("exitSeen", fc.constant({})),
  of("datagram", fc.record({ flow: small, bytes, dropped: small })),
  of("hello", fc.record({ version: small, incarnation: text, received: size, program: text })),
  of("ack", fc.record({ received: size })),
  of("ping", fc.record({ id: size })),
  of("pong", fc.record({ id: size })),
  of("close", problem),
);

/** Most frames have the number that is due, so that they are looked at. */
export const hostileFrames: fc.Arbitrary<readonly HostileFrame[]> = fc.array(
  fc.oneof(
    {
      weight: 20,
      arbitrary: fc.record({
        kind: fc.constant("frame" as const),
        channel: fc.oneof({ weight: 6, arbitrary: fc.constant(1) }, fc.constantFrom(0, 2, 3, 4_294_967_295)),
        body,
        step: fc.oneof({ weight: 30, arbitrary: fc.constant(1) }, fc.constantFrom(0, 2, -1)),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("bytes" as const), bytes }) },
  ),
  { minLength: 1, maxLength: 25 },
);

const LINK_FRAMES: ReadonlySet<string | undefined> = new Set(["hello", "ack", "ping", "pong", "datagram"]);

/** Greets as an end does and then says all of it. Gives what it heard, each of which must have been a frame. */
export function speak(
  carrier: Carrier,
  frames: readonly HostileFrame[],
  first: readonly HostileFrame[] = [],
): { heard(): number } {
  let heard = 0;
  let seq = 0;
  carrier.listen({
    onFrame: (pieces) => {
      decodeFrame(pieces);
      heard += 1;
    },
    onDrain: () => undefined,
    onEnd: () => undefined,
  });
  const hello = helloBody({ version: 1, incarnation: "hostile", received: 0, program: "hostile/1" });
  carrier.send([encodeControl({ seq: 0, channel: 0, body: hello })]);
  for (const frame of [...first, ...frames]) {
    if (frame.kind === "bytes") {
      carrier.send([frame.bytes]);
      continue;
    }
    const isLink = LINK_FRAMES.has(frame.body.case);
    if (!isLink) seq = Math.max(0, seq + frame.step);
    carrier.send([encodeControl({ seq: isLink ? 0 : seq, channel: frame.channel, body: frame.body })]);
  }
  return { heard: () => heard };
}
