/* Owns: where the page's own addresses begin, and who asks: in a demo, a secret in a header, made by the server and kept
   by this browser. The first script of all, loaded before Gradio, so that every request of the page carries the secret. */
(() => {
  const script = document.currentScript;
  const root = new URL(script.dataset.root || ".", location.href).href.replace(/\/?$/, "/");
  const studio = (window.studio = {});
  const KEY = "studio-workspace";
  let secret = "";
  const remembered = () => { try { return localStorage.getItem(KEY) || ""; } catch { return ""; } };
  const remember = (value) => { try { localStorage.setItem(KEY, value); } catch { /* kept for this page only */ } };
  studio.url = (path) => root + path.replace(/^\//, "");
  studio.headers = () => (secret ? { "X-Studio-Workspace": secret } : {});
  if (script.dataset.demo) {
    const ask = new XMLHttpRequest();
    ask.open("POST", studio.url("studio/workspace"), false);
    ask.setRequestHeader("X-Studio-Workspace", remembered());
    try { ask.send(); if (ask.status === 200) { secret = JSON.parse(ask.responseText).secret; remember(secret); } } catch { /* the page says it */ }
    const plain = window.fetch.bind(window);
    window.fetch = (input, init = {}) => {
      const url = new URL(input instanceof Request ? input.url : input, location.href);
      if (url.origin !== location.origin) return plain(input, init);
      const headers = new Headers(init.headers || (input instanceof Request ? input.headers : undefined));
      headers.set("X-Studio-Workspace", secret);
      return plain(input, { ...init, headers });
    };
  }
})();
