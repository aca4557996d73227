/** What an end says first on a lane (`router.proto`). The first three letters are those of HTTP/2, for whoever tells that apart. */
const LANE_PREFACE = Buffer.from("PRI * SLUICE-LANE/1\r\n\r\n");
const LINE_END = Buffer.from("\r\n");
const TOKEN_CHARACTERS = 32;
const TOKEN = /^[0-9a-f]{32}$/;
export const LANE_PREFACE_BYTES: number = LANE_PREFACE.length + TOKEN_CHARACTERS + LINE_END.length;

/** What the router answers once both ends are there. */
export const LANE_READY: Buffer = Buffer.from("SLUICE-LANE/1 READY\r\n");

export function lanePreface(token: string): Buffer {
  return Buffer.concat([LANE_PREFACE, Buffer.from(token, "latin1"), LINE_END]);
}

/** The token, if a connection begins so; `false`: it does not; `undefined`: more has to come. */
export function readLanePreface(first: Buffer): string | false | undefined {
  const known = Math.min(first.length, LANE_PREFACE.length);
  if (!LANE_PREFACE.subarray(0, known).equals(first.subarray(0, known))) return false;
  if (first.length < LANE_PREFACE_BYTES) return undefined;
  const token = first.toString("latin1", LANE_PREFACE.length, LANE_PREFACE.length + TOKEN_CHARACTERS);
  const end = first.subarray(LANE_PREFACE.length + TOKEN_CHARACTERS, LANE_PREFACE_BYTES);
  return TOKEN.test(token) && end.equals(LINE_END) ? token : false;
}
