/* Owns: taking files away, and regions that ask again by themselves while something is being made.
   <button data-save=PATH data-name=FILE>         fetches a small file with the workspace's header and saves it
   <button data-download=FORMAT data-run=RUN>     gets a link that works once, and follows it: files of any size
   <button hidden data-act=… data-again=MS>       is pressed every MS while its place is in view */
(() => {
  const { h, complain } = window.studio;

  async function save(button) {
    const answer = await fetch(window.studio.url(button.dataset.save), { headers: window.studio.headers() });
    if (!answer.ok) throw new Error((await answer.json()).error.message);
    const link = h("a", { href: URL.createObjectURL(await answer.blob()), download: button.dataset.name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }
  async function download(button) {
    const answer = await fetch(window.studio.url("studio/ticket"), {
      method: "POST", headers: { ...window.studio.headers(), "Content-Type": "application/json" },
      body: JSON.stringify({ run: button.dataset.run, format: button.dataset.download }),
    });
    const told = await answer.json();
    if (!answer.ok) throw new Error(told.error.message);
    h("a", { href: window.studio.url(told.link), download: "" }).click();
  }
  document.addEventListener("click", async (e) => {
    const button = e.target.closest("[data-save], [data-download]");
    if (!button || button.disabled) return;
    try { complain(button, ""); await (button.dataset.save ? save(button) : download(button)); }
    catch (error) { complain(button, error instanceof TypeError ? "The server does not answer. Try again in a moment." : error.message); }
  });
  document.addEventListener("click", async (e) => {
    const button = e.target.closest("[data-copy]");
    if (!button) return;
    const text = document.getElementById(button.dataset.copy)?.textContent || "";
    try { await navigator.clipboard.writeText(text); } catch { getSelection().selectAllChildren(document.getElementById(button.dataset.copy)); return; }
    const words = button.lastChild, before = words.textContent;
    words.textContent = window.studio.translate("Copied");
    setTimeout(() => { words.textContent = before; }, 1500);
  });

  const pressed = new WeakMap();
  setInterval(() => {
    if (document.hidden) return;
    for (const button of document.querySelectorAll("button[data-again]")) {
      const now = Date.now();
      if (button.parentElement.offsetParent === null || now - (pressed.get(button) || 0) < +button.dataset.again) continue;
      pressed.set(button, now);
      button.click();
    }
  }, 250);
})();
