/* Owns: the limit in the histogram of lengths: a line that is moved by pointer or keys, and what it cuts meanwhile. */
(() => {
  const LEAST = 16;
  const box = (el) => el.closest?.(".lengths");
  const step = (plot) => (plot.dataset.last > 1024 ? 32 : plot.dataset.last > 256 ? 16 : 8);
  const { translate } = window.studio;
  const number = (n) => n.toLocaleString("en");
  let moved = null, timer = 0;

  function show(plot, value) {
    const handle = plot.querySelector("[role=slider]"), last = Number(plot.dataset.last);
    const at = Math.max(LEAST, Math.min(Number(plot.dataset.most), value));
    const over = JSON.parse(plot.dataset.lengths).reduce((sum, [tokens, rows]) => sum + (tokens > at ? rows : 0), 0);
    const cut = over === 0 ? "no row is truncated" : over === 1 ? "1 row is truncated" : `${number(over)} rows are truncated`;
    handle.style.left = `${(100 * Math.min(1, at / last)).toFixed(2)}%`;
    handle.setAttribute("aria-valuenow", at);
    handle.setAttribute("aria-valuetext", translate(over ? `${number(at)} tokens, ${number(over)} truncated` : `${number(at)} tokens, ${cut}`));
    const words = handle.querySelector("span");
    words.classList.toggle("left", at > last / 2);
    words.querySelector("b").textContent = translate(number(at));
    const said = plot.parentElement.querySelector("[data-said]");
    if (said) said.textContent = translate(`At ${number(at)} tokens ${cut}. The model never sees the truncated part.`);
    return at;
  }
  function send(plot, value) {
    let region = plot;
    while (region && !region.studioSend) region = region.parentElement;
    region?.studioSend({ act: "limit", value });
  }
  const under = (plot, e) => {
    const { left, width } = plot.getBoundingClientRect(), by = step(plot);
    return Math.round(((e.clientX - left) / width) * plot.dataset.last / by) * by;
  };
  document.addEventListener("pointerdown", (e) => {
    const plot = box(e.target);
    if (!plot || e.button) return;
    e.preventDefault();
    plot.querySelector("[role=slider]").focus();
    moved = { plot, value: show(plot, under(plot, e)) };
  });
  document.addEventListener("pointermove", (e) => { if (moved) moved.value = show(moved.plot, under(moved.plot, e)); });
  for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, () => { if (moved) send(moved.plot, moved.value); moved = null; });
  document.addEventListener("keydown", (e) => {
    const plot = e.target.matches?.(".lengths [role=slider]") && box(e.target);
    if (!plot) return;
    const by = step(plot), now = Number(e.target.getAttribute("aria-valuenow"));
    const to = { ArrowLeft: now - by, ArrowDown: now - by, ArrowRight: now + by, ArrowUp: now + by, PageDown: now - 8 * by,
      PageUp: now + 8 * by, Home: LEAST, End: Math.ceil(plot.dataset.longest / by) * by }[e.key];
    if (to === undefined) return;
    e.preventDefault(); e.stopPropagation();
    const value = show(plot, to);
    clearTimeout(timer);
    timer = setTimeout(send, 400, plot, value);
  });
})();
