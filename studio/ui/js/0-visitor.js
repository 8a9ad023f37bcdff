/* Owns: where the page's own addresses begin, and the secret of a demo's visitor, which the server makes and this browser
   keeps. Gradio loads this script before any part of the page (components/region.py). */
(() => {
  const root = document.currentScript.src.split("studio/static/")[0];
  const studio = (window.studio = {});
  /* Our rules come before Gradio's, which win where both are as specific, for example for [hidden]. */
  document.head.prepend(document.querySelector('link[href*="studio/static/studio.css"]'));
  const KEY = "studio-workspace";
  let secret = "", ready;
  const remembered = () => { try { return localStorage.getItem(KEY) || ""; } catch { return ""; } };
  const remember = (value) => { try { localStorage.setItem(KEY, value); } catch { /* kept for this page only */ } };
  studio.url = (path) => root + path.replace(/^\//, "");
  studio.secret = () => secret;
  studio.headers = () => (secret ? { "X-Studio-Workspace": secret } : {});
  /** Resolved once requests can be sent: the visitor of a demo has a workspace. */
  studio.ready = new Promise((resolve) => { ready = resolve; });
  studio.enter = async (demo) => {
    if (demo) {
      const answer = await fetch(studio.url("studio/workspace"), { method: "POST", headers: { "X-Studio-Workspace": remembered() } }).catch(() => null);
      if (answer?.ok) { secret = (await answer.json()).secret; remember(secret); }
    }
    ready();
  };
})();
