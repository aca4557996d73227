import type { Random } from "../../src/base/random.ts";
import { encodeEvent } from "../../src/hub/events/frame.ts";
import type { FaultName, FaultValues } from "./fault-catalog.ts";

/** Bytes that an instant fault puts on every connection, as they are. Empty for faults that send nothing. */
export function bytesOfFault(name: FaultName, values: FaultValues, random: Random): Buffer[] {
  switch (name) {
    case "garbage":
      return [garbage(Number(values["bytes"]), random)];
    case "huge":
      return [huge(Number(values["megabytes"]))];
    case "wrong-type":
      return WRONG_TYPES.map((event) => Buffer.from(encodeEvent(event)));
    case "invalid-json":
      return INVALID_JSON.map((data) => Buffer.from(encodeEvent({ data })));
    case "deep": {
      const depth = Number(values["depth"]);
      return [Buffer.from(encodeEvent({ data: `${"[".repeat(depth)}${"]".repeat(depth)}` }))];
    }
    case "retry":
      return [Buffer.from(`retry: ${String(values["value"])}\n\n`)];
    default:
      return [];
  }
}

/** Ends with an empty line, so that the event after it stands alone again. */
function garbage(bytes: number, random: Random): Buffer {
  const noise = Buffer.alloc(bytes + 2);
  for (let index = 0; index < bytes; index++) noise[index] = Math.floor(random() * 256);
  noise.write("\n\n", bytes);
  return noise;
}

/** A start whose input is as long as the event should be. */
function huge(megabytes: number): Buffer {
  const [head, tail] = [
    'data: {"eventType":"start","id":"huge","input":"rtsp://',
    '","output":"rtmp://127.0.0.1/live/huge"}\n\n',
  ];
  const filling = Math.max(0, Math.round(megabytes * 1_000_000) - head.length - tail.length);
  return Buffer.concat([Buffer.from(head), Buffer.alloc(filling, "x"), Buffer.from(tail)]);
}

const WRONG_TYPES = [
  { data: "42" },
  { data: "null" },
  { data: '["start"]' },
  { data: '{"eventType":7}' },
  { data: '{"eventType":"start","input":5,"output":{}}' },
  { data: '{"eventType":"start","id":"../../etc/passwd","input":"-i","output":"gopher://x"}' },
  { event: "change", data: '{"revision":"later","put":{}}' },
  { event: "expected", data: '{"epoch":7,"revision":-1,"workloads":"all"}' },
] as const;

const INVALID_JSON = ['{"eventType":"start",', "hello", '{"eventType":"stop","id":"a"}}', ""] as const;
