/* Owns: actions. What a person does is sent to the server by Gradio's server function `act`: one request, one answer.
   The answer holds the regions to draw, by id, and the state of the tabs (studio.beat in 3-tabs.js). */
(() => {
  const { studio } = window;
  const LOST = "The server did not answer, so this was not done. It may be restarting, or the request was too large. Try again in a moment.";
  const page = [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const KNOWN = "studio-known";
  let connected;
  const connection = new Promise((resolve) => { connected = resolve; });
  const shows = new Map(), values = new Map();             /* id → function that draws; id → what came before its tab was opened */
  studio.beats = [];                                       /* functions run after each answer */

  /** Called by Gradio when the page is built. */
  studio.connect = async (server, demo) => {
    await Promise.all([studio.enter(demo), studio.languageReady]);
    studio.dressHeader();
    studio.dressAccount();
    connected(server);
    studio.act("page", { act: "load", run: new URL(location.href).searchParams.get("run") || "", fresh: isFresh() ? "yes" : "" });
    studio.endForgottenFrames();
  };
  /** Whether this browser never had the page open. */
  const isFresh = () => {
    try { const known = localStorage.getItem(KNOWN); localStorage.setItem(KNOWN, "yes"); return !known; } catch { return false; }
  };
  const idOf = (element) => element.closest(".block").id;
  /** A function that sends an action from an element. */
  studio.sender = (element) => (data) => studio.act(idOf(element), data);
  /** Draw what the server sends for an element, also what it sent before its tab was opened. */
  studio.place = (element, show) => {
    shows.set(idOf(element), show);
    if (values.has(idOf(element))) show(values.get(idOf(element)));
  };
  studio.draw = (id, value) => { values.set(id, value); shows.get(id)?.(value); };
  studio.act = async (region, said) => {
    const server = await connection;
    const answer = await server.act({ secret: studio.secret(), project: studio.project(), page, region, said }).catch(() => null);
    if (!answer?.regions) {
      for (const f of [...studio.beats]) f();
      if (!said.unasked) studio.toast().replaceChildren(studio.h("p.wrong", { role: "alert" }, LOST));
      return false;
    }
    for (const [id, value] of Object.entries(answer.regions)) studio.draw(id, value);
    studio.beat(answer.beat);
    return true;
  };
})();
