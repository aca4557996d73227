/** Does what concerns one thing one after the other, whatever became of the one before; what concerns others goes on beside it. */
export type InTurn = <Answer>(id: string, act: () => Promise<Answer>) => Promise<Answer>;

export function createTurns(): InTurn {
  const last = new Map<string, Promise<unknown>>();
  return async (id, act) => {
    const mine = (last.get(id) ?? Promise.resolve()).then(act, act);
    last.set(id, mine);
    try {
      return await mine;
    } finally {
      if (last.get(id) === mine) last.delete(id);
    }
  };
}
