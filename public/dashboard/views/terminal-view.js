import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { byId } from "../../shared/element.js";
import { hashOf } from "../address.js";
import { pathOf } from "../api.js";
import { drawField } from "../field.js";
import { createFormProblem } from "../form-problem.js";
import { createKeptShell } from "../kept-shell.js";
import { shellEndText } from "../remote-text.js";
import { drawTerminalKeys } from "../terminal-keys.js";
import { createTerminalLink, TERMINAL_PROTOCOL } from "../terminal-link.js";
import { createTerminalScreen } from "../terminal-screen.js";

const READ_ALOUD = "sluice.terminal.read-aloud";
const PHASES = {
  connecting: ["connecting", "busy"],
  open: ["connected", "good"],
  away: ["connection lost", "bad"],
  over: ["ended", "neutral"],
};

/**
 * A shell on a box. It lasts as long as this page shows it; a page that is loaded anew goes on with it, and one that is closed leaves it
 * to the hub, which hangs up soon.
 */
export function createTerminalView({ api, params, session, redraw, notify, announce }) {
  const { box: boxId } = params;
  const problem = createFormProblem(redraw);
  const kept = createKeptShell(sessionStorage);
  let box;
  let mode;
  /** Of the frame, once it is there. */
  let screen;
  let link;
  /** What was asked for last: the form begins with it. */
  let wish = {};
  /** Something can be seen, or will be. */
  const isShown = () => isOn() || hasOutput;
  let hasOutput = false;
  let said = "";
  let isReadAloud = localStorage.getItem(READ_ALOUD) === "true";
  let failure;

  const framed = createTerminalScreen({
    label: `Terminal on ${boxId}`,
    onTyped: (bytes) => {
      if (link === undefined || link.state.phase === "over" || link.state.exit !== undefined) return;
      if (!link.type(bytes)) notify("That is more than the shell takes at once.", "error");
    },
    onSize: (size) => link?.resize(size),
    onLeave: () => byId("terminal-tools")?.focus(),
  });
  framed.loaded.then(
    (loaded) => {
      screen = loaded;
      screen.readAloud(isReadAloud);
      screen.shut(true);
      redraw();
      const known = kept.take(boxId);
      if (known !== undefined) begin(known);
    },
    (error) => {
      failure = error;
      redraw();
    },
  );

  const isOn = () => link !== undefined && link.state.phase !== "over";
  const onChange = () => {
    const { state } = link;
    const text = statusText(state);
    if (text !== said) announce(text);
    said = text;
    kept.set(boxId, state.phase === "over" ? undefined : state.id);
    if (state.phase === "over") {
      const hadFocus = document.activeElement === framed.node;
      screen.shut(true);
      // The form is back with the next drawing.
      if (hadFocus) requestAnimationFrame(() => requestAnimationFrame(() => byId("terminal-open")?.focus()));
    }
    redraw();
  };
  const open = (event) => {
    event.preventDefault();
    if (isOn() || screen === undefined) return;
    problem.clear();
    const form = new FormData(event.target);
    const text = (name) => form.get(name)?.trim() || undefined;
    wish = {
      box: boxId,
      user: text("user"),
      cwd: text("cwd"),
      ...(form.get("record") === "on" ? { record: true } : {}),
    };
    begin();
  };
  /** With the shell that this page had before it was loaded anew, or with a new one. */
  const begin = (known) => {
    framed.node.parentElement.hidden = false;
    screen.layOut();
    screen.clear();
    screen.shut(false);
    said = "";
    hasOutput = false;
    const mine = createTerminalLink({
      wish,
      known,
      connect: () => new WebSocket(`${location.origin.replace(/^http/, "ws")}/v1/remote/terminal`, [TERMINAL_PROTOCOL]),
      facts: () => ({ token: session.token() ?? "", ...screen.size() }),
      onOutput: (bytes, shown) => {
        hasOutput = true;
        screen.write(bytes, shown);
      },
      onChange: () => {
        if (link === mine) onChange();
      },
    });
    link = mine;
    // The form goes, and the focus would go with it.
    screen.focus();
    redraw();
  };
  const copy = async () => {
    const isCopied = await screen.copy().catch(() => false);
    notify(isCopied ? "The selection is copied" : "Select something in the terminal first.", isCopied ? "ok" : "error");
  };
  const paste = async () => {
    try {
      screen.paste(await navigator.clipboard.readText());
      screen.focus();
    } catch {
      notify("The browser does not let this page read the clipboard: press Ctrl+Shift+V in the terminal.", "error");
    }
  };
  const readAloud = (event) => {
    isReadAloud = event.target.checked;
    localStorage.setItem(READ_ALOUD, String(isReadAloud));
    screen?.readAloud(isReadAloud);
  };
  const onUnload = (event) => {
    if (isOn()) event.preventDefault();
  };
  addEventListener("beforeunload", onUnload);

  const drawForm = () => html`
    <form class="fields" aria-label="Open a terminal" @submit=${open}>
      ${drawField(problem, { name: "user", label: "User (may stay empty)", value: wish.user, hint: "Of the box. Empty: the agent's own." })}
      ${drawField(problem, { name: "cwd", label: "Directory (may stay empty)", value: wish.cwd, hint: "Where it begins. Empty: the user's home.", placeholder: "/srv" })}
      <div class="terminal-start">
        ${mode === "asked" ? html`<label class="check"><input type="checkbox" name="record" .defaultChecked=${wish.record === true}>Record what it shows</label>` : nothing}
        ${mode === "always" ? html`<p class="hint">This hub records what every terminal shows.</p>` : nothing}
        <button type="submit" class="primary" id="terminal-open" ?disabled=${screen === undefined}>${link === undefined ? "Open" : "Open again"}</button>
      </div>
    </form>`;
  const drawTools = () => html`
    <div class="actions wrap" id="terminal-tools" tabindex="-1" role="group" aria-label="Tools of the terminal">
      <button type="button" @click=${copy}>Copy</button>
      ${navigator.clipboard?.readText === undefined || !isOn() ? nothing : html`<button type="button" @click=${paste}>Paste</button>`}
      <button type="button" aria-label="Smaller letters" @click=${() => screen.enlarge(-1)}>A−</button>
      <button type="button" aria-label="Larger letters" @click=${() => screen.enlarge(1)}>A+</button>
      <label class="check"><input type="checkbox" .checked=${isReadAloud} @change=${readAloud}>For screen readers</label>
      ${link?.state.session !== undefined && link.state.isRecorded && !isOn() ? html`<a class="button" href=${hashOf("remote", "recordings", link.state.session)}>Play the recording</a>` : nothing}
      ${isOn() ? html`<button type="button" class="danger" @click=${() => link.end()}>Hang up</button>` : nothing}
    </div>`;

  return {
    title: () => `Terminal on ${box?.name ?? boxId}`,
    load: async (signal) => {
      [box, { mode }] = await Promise.all([
        api.get(pathOf("v1", "boxes", boxId), {}, signal),
        api.get("/v1/remote/recordings", { limit: 1 }, signal),
      ]);
    },
    hears: (event) => event.box === boxId && !isOn(),
    refreshMs: 15_000,
    close: () => {
      removeEventListener("beforeunload", onUnload);
      link?.end();
    },
    draw: () => html`
      <section class="card terminal-card" aria-label="Terminal" data-phase=${link?.state.phase ?? "none"}>
        <div class="section-head">
          <div class="row-states">${link === undefined ? nothing : drawPhase(link.state, isShown())}</div>
          <a href=${hashOf("boxes", boxId)}>Back to the box</a>
        </div>
        ${failure === undefined ? nothing : html`<p class="problem" role="alert">${failure.message}</p>`}
        ${box === undefined || isOn() ? nothing : drawExpectation(box)}
        ${link === undefined ? nothing : drawStatus(link)}
        ${isOn() ? nothing : drawForm()}
        <div class="terminal-place" ?hidden=${!isShown()}>${framed.node}</div>
        ${
          !isShown() || screen === undefined
            ? nothing
            : html`${isOn() ? drawTerminalKeys(screen) : nothing}
              ${drawTools()}
              <p class="hint">To leave the terminal by keyboard, press <kbd>Ctrl</kbd>+<kbd>Shift</kbd>+<kbd>E</kbd>; Tab goes to the shell.
                Copy with <kbd>Ctrl</kbd>+<kbd>Shift</kbd>+<kbd>C</kbd>, paste with <kbd>Ctrl</kbd>+<kbd>Shift</kbd>+<kbd>V</kbd>.
                Going to another page hangs up; loading this one anew does not.</p>`
        }
      </section>
    `,
  };
}

function drawPhase({ phase, isRecorded }, isShown) {
  const [word, tone] = PHASES[phase];
  return html`<span class="state" data-tone=${tone}>${word}</span>
    ${isRecorded && isShown ? html`<span class="state" data-tone="warn">recorded</span>` : nothing}`;
}

/** What is known before anybody asks. */
function drawExpectation({ id, connection, remote, state }) {
  if (state !== "approved")
    return html`<p class="cause" data-tone="warn">${id} is ${state}, and hears nothing of it.</p>`;
  if (connection === "offline" || connection === "never") {
    return html`<p class="cause" data-tone="warn">${id} is not connected now. A terminal waits for it for up to 60 s.</p>`;
  }
  if (remote === undefined || remote.includes("shell")) return nothing;
  return html`<p class="cause" data-tone="warn">${id} lets nobody have a shell. Its owner allows it on the box: <code>policy.remote.shell</code>
    and <code>policy.remote.operators</code>.</p>`;
}

function drawStatus(link) {
  const { state } = link;
  const text = statusText(state);
  if (text === "") return nothing;
  const isBad = state.error !== undefined || state.phase === "away";
  return html`<div class=${isBad ? "terminal-status is-bad" : "terminal-status"} data-status>
    <p>${text}</p>
    ${state.phase === "away" ? html`<button type="button" @click=${link.retryNow}>Try now</button>` : nothing}</div>`;
}

function statusText({ phase, note, exit, error }) {
  if (phase === "away")
    return "The connection to the hub is lost, and is tried again. What you type is kept until then.";
  if (exit !== undefined) return shellEndText(exit);
  if (error !== undefined) return error;
  if (phase === "over") return "You have hung up.";
  return note;
}
