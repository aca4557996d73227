import type { RoomKeeper } from "./room-keeper.ts";

/** A box with room for everything. */
export const ROOM_FOR_ALL: RoomKeeper = {
  admit: (due) => ({ admitted: due.map(({ id }) => id), held: new Map() }),
  shed: () => new Map(),
  wasKilledForMemory: () => false,
};
