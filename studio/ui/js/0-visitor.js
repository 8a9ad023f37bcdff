/* Owns: where the page's own addresses begin; the secret of a demo's visitor, which the server makes and this browser
   keeps; the account of a person who is signed in to a demo, and whose workspace is not this browser's; and the project that this page has open. Gradio loads this script before any part of the page (components/region.py). */
(() => {
  const root = document.currentScript.src.split("studio/static/")[0];
  const studio = (window.studio = {});
  /* Our rules come before Gradio's, which win where both are as specific, for example for [hidden]. */
  document.head.prepend(document.querySelector('link[href*="studio/static/studio.css"]'));
  const KEY = "studio-workspace";
  const OWN = "Only you can see your rows and runs. Sign in on another browser to find them there.";
  let secret = "", account = "", team = false, ready;
  const remembered = () => { try { return localStorage.getItem(KEY) || ""; } catch { return ""; } };
  const remember = (value) => { try { localStorage.setItem(KEY, value); } catch { /* kept for this page only */ } };
  studio.url = (path) => root + path.replace(/^\//, "");
  studio.secret = () => secret;
  /* The project: that of this tab, else the one that this browser opened last. Without one, the default project. */
  const PROJECT = "studio-project", DEFAULT = "default";
  const stores = () => { try { return [sessionStorage, localStorage]; } catch { return []; } };
  let project = stores().map((store) => store.getItem(PROJECT)).find(Boolean) || DEFAULT;
  studio.project = () => project;
  /** Open a project, for this browser, and one of its runs. The page is loaded again, so that nothing of two projects mixes. */
  studio.openProject = (id, run = "") => {
    for (const store of stores()) store.setItem(PROJECT, id);
    const url = new URL(location.href);
    if (run) url.searchParams.set("run", run); else url.searchParams.delete("run");
    history.replaceState(history.state, "", url);
    location.reload();
  };
  /** A run in the address is shown in its project, by this tab alone. A project that was deleted is forgotten. */
  async function findProject() {
    const run = new URL(location.href).searchParams.get("run") || "";
    if (!run && project === DEFAULT) return;
    const answer = await fetch(studio.url(`studio/workspace?run=${encodeURIComponent(run)}`), { method: "POST", headers: studio.headers() }).catch(() => null);
    const found = answer?.ok ? (await answer.json()).project : "";
    if (!found || found === project) return;
    const lost = !run && found === DEFAULT;
    project = found;
    stores().slice(0, lost ? 2 : 1).forEach((store) => store.setItem(PROJECT, found));
    if (lost) studio.ready.then(() => studio.toast().replaceChildren(studio.h("p.note", { role: "status" }, "The project of this page was deleted. This is the default project.")));
  }
  studio.headers = () => (secret ? { "X-Studio-Workspace": secret } : project === DEFAULT ? {} : { "X-Studio-Project": project });
  /** Resolved once requests can be sent: the visitor of a demo has a workspace. */
  studio.ready = new Promise((resolve) => { ready = resolve; });
  /** Show who is signed in. A person with a role in the team has no limits of a demo, so the banner is not shown. */
  studio.dressAccount = () => {
    const slot = document.querySelector(".account"), banner = document.querySelector(".banner.demo");
    if (!slot || !account) return;
    slot.querySelector("a").hidden = true;
    slot.querySelector("form").hidden = false;
    slot.querySelector("form > span").textContent = account;
    banner.hidden = team;
    banner.querySelector("[data-where]").textContent = studio.translate(OWN);
  };
  studio.enter = async (demo) => {
    if (demo) {
      const answer = await fetch(studio.url("studio/workspace"), { method: "POST", headers: { "X-Studio-Workspace": remembered() } }).catch(() => null);
      if (answer?.ok) ({ secret, account, team } = await answer.json());
      if (secret && !account) remember(secret);
    } else await findProject();
    ready();
  };
})();
