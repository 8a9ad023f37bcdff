/* Owns: that the end of a run is noticed by who looks elsewhere: the page's title says so until they are back, and a
   notification of the browser comes if they asked for one. */
(() => {
  const { studio } = window, { live } = studio, KEY = "studio-notify";
  const ENDS = {
    finished: ["✓", (run) => `${run.name} is finished`], stopped: ["■", (run) => `${run.name} has stopped`],
    failed: ["✕", (run) => `${run.name} has failed`], interrupted: ["✕", (run) => `${run.name} was interrupted`],
  };
  const known = new Map();                                  /* run → whether it was active at the last poll */

  function look(run) {
    if (!run) return;
    const worked = known.get(run.id);
    known.set(run.id, live.working(run));
    if (worked && ENDS[run.status]) ended(run);
  }
  /** A run that is no longer in the bar has made room for another one: ask how it ended. */
  async function lookFor(id) {
    known.delete(id);
    const answer = await fetch(studio.url(`studio/run/${encodeURIComponent(id)}?after=${Number.MAX_SAFE_INTEGER}`), { headers: studio.headers() }).catch(() => null);
    const run = answer?.ok ? (await answer.json()).run : null;
    if (run && ENDS[run.status]) ended(run);
  }
  function ended(run) {
    const [sign, sentence] = ENDS[run.status], words = studio.translate(sentence(run));
    studio.news = `${sign} ${words}`;
    studio.titled();
    if (wanted() && document.hidden) {
      const note = new Notification(words, { body: run.reason ? studio.translate(run.reason) : "Fine-tune Studio", tag: run.id });
      note.onclick = () => { window.focus(); studio.act("runbar-view", { act: "open", run: run.id, to: "train" }); note.close(); };
    }
  }
  live.on(() => {
    for (const run of [live.data?.run, live.bar]) look(run);
    for (const [id, worked] of known) if (worked && id !== live.bar?.id && id !== live.data?.run?.id) lookFor(id);
  });
  const back = () => { if (studio.news) { studio.news = ""; studio.titled(); } };
  for (const kind of ["pointerdown", "keydown"]) document.addEventListener(kind, back, true);

  /* --- the wish for a notification belongs to this browser --- */
  const can = () => "Notification" in window && window.isSecureContext;
  const blocked = () => can() && Notification.permission === "denied";
  const wanted = () => can() && Notification.permission === "granted" && localStorage.getItem(KEY) === "yes";
  /** How to allow notifications again, in the words of the browser's menus. */
  function unblock() {
    const agent = navigator.userAgent;
    if (/Firefox\//.test(agent)) return "Notifications are blocked. In Firefox, click the icon left of the address. Remove “Blocked” beside “Send notifications”. Then reload the page.";
    if (/Edg\//.test(agent)) return "Notifications are blocked. In Edge, click the icon left of the address. Open “Permissions for this site” and allow “Notifications”. Then reload the page.";
    if (/Chrome\/|Chromium\//.test(agent)) return "Notifications are blocked. In Chrome, click the icon left of the address. Open “Site settings” and allow “Notifications”. Then reload the page.";
    if (/Safari\//.test(agent)) return "Notifications are blocked. In Safari, open “Settings”, then “Websites”, then “Notifications”. Choose “Allow” for this page, and reload it.";
    return "Notifications are blocked. Open the browser's settings for this page and allow notifications. Then reload the page.";
  }
  async function toggle() {
    if (blocked()) { studio.toast().replaceChildren(studio.h("p", { role: "status" }, unblock())); return; }
    if (wanted()) localStorage.setItem(KEY, "no");
    else if ((await Notification.requestPermission()) === "granted") localStorage.setItem(KEY, "yes");
  }
  /** A button that asks for it: hidden where the browser can't. Where the person has forbidden it, it says how to allow it. */
  function dress(button) {
    button.hidden = !can() || !(live.working(live.data?.run) || wanted());
    const denied = blocked();
    button.setAttribute("aria-pressed", String(wanted()));
    const words = studio.translate(denied ? "Notifications are blocked. How to allow them" : wanted() ? "You will be notified" : "Notify me when it ends");
    if (button.textContent !== words) button.textContent = words;
    button.title = studio.translate(denied ? "The browser blocks notifications of this page. Press for the steps that allow them." : wanted() ? "The browser notifies you when a run ends. Press again to turn this off." : "");
  }
  studio.notice = { toggle, dress };
})();
