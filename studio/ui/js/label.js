/* Owns: what labelling needs beside regions: its keys, the name of who labels, and ticks in the list.
   <… data-hotkeys>               keys inside it press the buttons with data-hot=KEY, one after the other
   <input data-labeller>          its value is kept in a cookie, so that the server knows who labels from here
   <input data-tick-all>          ticks all rows of the list, or none
   <input data-tick value=ROW>    a tick; elements with data-with-ticks send the ticked rows as data-rows */
(() => {
  const { studio } = window;
  const YEAR = 365 * 24 * 3600;
  const tell = (box) => {
    const rows = [...box.querySelectorAll("input[data-tick]:checked")].map((one) => one.value);
    for (const one of box.querySelectorAll("[data-with-ticks]")) {
      one.dataset.rows = rows.join(",");
      if (one.matches("button")) one.disabled = !rows.length;
    }
    const words = box.querySelector("[data-ticked]");
    if (words) words.textContent = studio.translate(rows.length === 1 ? "1 row selected" : `${rows.length} rows selected`);
  };
  async function press(key) {
    const one = [...document.querySelectorAll("[data-hotkeys] [data-hot]")].find((each) => each.dataset.hot === key && !each.disabled);
    if (one) await studio.act(one.closest(".block.region").id, studio.said(one));
  }
  /* Each key waits for the one before, so that a burst of them labels one row each. */
  let before = Promise.resolve();
  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || !e.target.closest?.("[data-hotkeys]") || studio.typing(e.target)) return;
    const key = e.key.length === 1 ? e.key.toLowerCase() : e.key;
    const free = !e.target.closest("button,a,summary");   /* Enter on a button presses that button */
    if (!/^[1-9su]$/.test(key) && key !== "Backspace" && !(key === "Enter" && free)) return;
    e.preventDefault();
    before = before.then(() => press(key));
  });
  /* before the region sends the change, so that the very same request knows the name */
  document.addEventListener("change", (e) => {
    if (e.target.matches?.("input[data-labeller]")) {
      const path = new URL(window.studio.url("")).pathname;
      document.cookie = `studio-labeller=${encodeURIComponent(e.target.value.trim().slice(0, 40))}; path=${path}; max-age=${YEAR}; SameSite=Lax`;
    }
    const list = e.target.closest?.(".labellist");
    if (!list) return;
    if (e.target.matches("[data-tick-all]")) for (const one of list.querySelectorAll("input[data-tick]")) one.checked = e.target.checked;
    if (e.target.matches("[data-tick], [data-tick-all]")) tell(list);
  }, true);
})();
