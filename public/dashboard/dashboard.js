import { html, nothing, render } from "/vendor/lit-html/lit-html.js";
import { byId, setText } from "../shared/element.js";
import { showNotice } from "../shared/notice.js";
import { createApi } from "./api.js";
import { keepFocus } from "./keep-focus.js";
import { followEvents } from "./live-feed.js";
import { openView } from "./open-view.js";
import { findRoute, ROUTES } from "./routes.js";
import { createSession } from "./session.js";
import { createSignIn } from "./sign-in.js";

const root = byId("dashboard");
const session = createSession(sessionStorage);
const api = createApi({ token: session.token, onRefused: () => leave("The hub does not know this token any more.") });
const signIn = createSignIn({ api, session, redraw, enter });

let view;
let found;
let feedState = "lost";
let feedLife;
let isDrawing = false;

/** Draws in the browser's next frame, once however often it was asked for. */
function redraw() {
  if (isDrawing) return;
  isDrawing = true;
  // A page in the background gets no frames, and is to be true when it comes back.
  const frame = document.visibilityState === "visible" ? requestAnimationFrame : (draw) => setTimeout(draw, 50);
  frame(() => {
    isDrawing = false;
    keepFocus(root, () => render(session.whoami() === undefined ? signIn.draw() : drawShell(), root));
  });
}

function enter() {
  feedLife = new AbortController();
  void followEvents({
    api,
    signal: feedLife.signal,
    onEvent: (event) => view?.hear(event),
    onGap: () => void view?.reload(),
    onState: (state) => {
      feedState = state;
      redraw();
    },
  });
  openAddress();
}

function leave(reason) {
  if (session.token() === undefined && session.whoami() === undefined) return;
  session.signOut();
  feedLife?.abort();
  view?.close();
  view = undefined;
  signIn.say(reason);
  redraw();
}

function openAddress() {
  if (session.whoami() === undefined) return;
  const next = findRoute(location.hash);
  if (next === undefined && location.hash !== "" && !location.hash.startsWith("#/")) return;
  view?.close();
  found = next ?? findRoute("#/boxes");
  const { route, params, query } = found;
  view = session.may(route.role)
    ? openView(route, { api, session, params, query, redraw, notify: showNotice, announce, attempt })
    : undefined;
  redraw();
  requestAnimationFrame(() =>
    requestAnimationFrame(() => {
      byId("title")?.focus({ preventScroll: true });
      // Where the menu is wider than the screen, it shows where one is.
      document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
    }),
  );
  scrollTo(0, 0);
}

/** Says a change aloud, to who does not see it. The region stands outside what is drawn, so that nothing is said twice. */
function announce(text) {
  if (text !== "") setText(byId("announcements"), text);
}

/** Carries out a change and says how it went. Gives whether it went well. */
async function attempt(what, act) {
  try {
    await act();
    showNotice(what);
    void view?.reload();
    return true;
  } catch (error) {
    showNotice(error.message, "error");
    return false;
  }
}

function drawShell() {
  const { name, role, hub } = session.whoami();
  const title = view?.title() ?? "Not for this token";
  document.title = `${title} · Sluice`;
  return html`
    <a class="skip" href="#main" @click=${skip}>Skip to the content</a>
    <header class="top">
      <a class="brand" href="#/boxes"><img src="/shared/icon.svg" alt="" width="28" height="28"><span>Sluice</span></a>
      <div class="pills">
        <span class="pill" id="feed-state" role="status" data-tone=${feedState === "live" ? "good" : "bad"}
          >${feedState === "live" ? "live" : "hub not heard, retrying"}</span>
        <span class="pill" title=${`hub ${hub.id}, version ${hub.version}`}>${name} · ${role}</span>
        <button type="button" class="quiet" @click=${() => leave("You have signed out.")}>Sign out</button>
      </div>
      <nav aria-label="Main">
        ${ROUTES.filter((route) => route.nav !== undefined && session.may(route.role)).map(
          (route) => html`<a href=${`#${route.path}`} aria-current=${currentOf(route)}>${route.nav}</a>`,
        )}
      </nav>
    </header>
    <main id="main" tabindex="-1" class=${feedState === "live" ? "" : "stale"}>
      <h1 id="title" tabindex="-1">${title}</h1>
      ${drawProblem(view?.problem())}
      ${view === undefined ? html`<p class="card">This needs a token with the role ${found?.route.role}.</p>` : view.draw()}
    </main>
  `;
}

function drawProblem(problem) {
  if (problem === undefined) return nothing;
  return html`<p class="card problem" role="alert"><b>Not up to date:</b> ${problem.message}</p>`;
}

function currentOf(route) {
  if (found?.route === route) return "page";
  return found?.route.path.startsWith(`${route.path}/`) ? "true" : nothing;
}

function skip(event) {
  event.preventDefault();
  byId("main").focus();
}

addEventListener("hashchange", openAddress);
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") void view?.reload();
});
// Ages are shown in seconds and move by themselves.
setInterval(redraw, 1000);
redraw();
if (session.token() !== undefined) void signIn.resume();
