import { html, nothing } from "/vendor/lit-html/lit-html.js";

/** The first page: takes an operator token and asks the hub whose it is. */
export function createSignIn({ api, session, redraw, enter }) {
  let message;
  let isBusy = false;

  const tryToken = async (token) => {
    isBusy = true;
    redraw();
    try {
      // Kept before it is proved: the client reads it there.
      session.signIn(token, undefined);
      const who = await api.get("/v1/whoami");
      session.signIn(token, who);
      message = undefined;
      enter();
    } catch (error) {
      if (error.status !== 0) session.signOut();
      message = error.status === 401 ? "The hub does not know this token." : error.message;
    }
    isBusy = false;
    redraw();
  };
  const submit = (event) => {
    event.preventDefault();
    const token = event.currentTarget.elements.token.value.trim();
    if (token !== "") void tryToken(token);
  };

  return {
    say: (text) => {
      message = text;
    },
    /** With the token that this tab still has. */
    resume: () => tryToken(session.token()),
    draw: () => {
      document.title = "Sign in · Sluice";
      return html`
        <main class="sign-in" id="main">
          <form class="card" @submit=${submit}>
            <div class="brand"><img src="/shared/icon.svg" alt="" width="36" height="36"><h1>Sluice</h1></div>
            <label class="field">Operator token
              <input name="token" type="password" required autocomplete="off" spellcheck="false"
                aria-describedby=${message === undefined ? nothing : "sign-in-message"}></label>
            ${message === undefined ? nothing : html`<p id="sign-in-message" class="field-problem" role="alert">${message}</p>`}
            <button type="submit" class="primary" ?disabled=${isBusy}>${isBusy ? "Asking the hub" : "Sign in"}</button>
            <p class="hint">The first token is printed when the hub starts for the first time. It is kept in this tab only,
              until you sign out or close it.</p>
          </form>
        </main>
      `;
    },
  };
}
