const KEY = "sluice.token";
const RANK = { viewer: 0, operator: 1, admin: 2 };

/**
 * Who is signed in on this tab. The token stays in the tab's session storage and leaves it in the `Authorization` header
 * only.
 *
 * @param {Storage} storage
 */
export function createSession(storage) {
  let whoami;
  return {
    token: () => storage.getItem(KEY) ?? undefined,
    whoami: () => whoami,
    signIn: (token, who) => {
      storage.setItem(KEY, token);
      whoami = who;
    },
    signOut: () => {
      storage.removeItem(KEY);
      whoami = undefined;
    },
    /** @param {"viewer" | "operator" | "admin"} role */
    may: (role) => whoami !== undefined && RANK[whoami.role] >= RANK[role],
  };
}
