"""What is clipped, squeezed, on top of something else or out of reach on a page, by the boxes of its elements."""

from playwright.sync_api import Page

WIDTHS = (390, 768, 1280, 1366, 1920)
"""From a phone to a wide screen, in pixels."""
FAULTS = r"""async () => {
  for (const _ of [1, 2, 3]) await new Promise(requestAnimationFrame);
  const faults = new Set(), width = document.documentElement.clientWidth;
  const name = (e) => `${e.tagName.toLowerCase()}.${(e.getAttribute("class") || "").trim().replaceAll(" ", ".")}`;
  const place = (e) => [e.parentElement?.parentElement, e.parentElement, e].filter(Boolean).map(name).join(" > ");
  const shown = (e) => e.checkVisibility({ visibilityProperty: true, opacityProperty: true })
    && !e.closest(".sr, .visually-hidden, footer, [aria-hidden=true].hidden, select, option, .u-hz, .tipbox");
  const clips = (overflow) => ["hidden", "clip"].includes(overflow);
  const scrolls = (overflow) => ["auto", "scroll"].includes(overflow);
  const known = new Map();
  /** What counts of an element's style, and its edges. They are read once, because a matrix has thousands of cells. */
  const facts = (e) => {
    if (!known.has(e)) {
      const { overflowX: x, overflowY: y, textOverflow, position } = getComputedStyle(e);
      known.set(e, { x, y, position, dots: textOverflow === "ellipsis", edge: e.getBoundingClientRect() });
    }
    return known.get(e);
  };
  /** The edges that the ancestors leave of an element, without those that can be scrolled. */
  const cut = (e, box) => {
    let left = false, top = false;
    for (let up = e; up && up !== document.body; up = up.parentElement) {
      const { x, y, position, dots, edge } = facts(up);
      if (scrolls(x)) left = true;
      if (scrolls(y)) top = true;
      if (dots && up !== e.closest("svg")) return "";
      const across = box.left < edge.left - 1 || box.right > edge.right + 1;
      const down = box.top < edge.top - 1 || box.bottom > edge.bottom + 1;
      if ((!left && clips(x) && across) || (!top && clips(y) && down)) return `cut by ${name(up)}`;
      if (position === "fixed") return "";
    }
    return !left && (box.left < -1 || box.right > width + 1) ? "off the screen" : "";
  };
  /** What is left of a box where its ancestors scroll or clip it, or nothing. */
  const within = (e, { left, top, right, bottom }) => {
    for (let up = e; up && up !== document.body; up = up.parentElement) {
      const { x, y, edge } = facts(up);
      if (x !== "visible") { left = Math.max(left, edge.left); right = Math.min(right, edge.right); }
      if (y !== "visible") { top = Math.max(top, edge.top); bottom = Math.min(bottom, edge.bottom); }
    }
    return right - left > 1 && bottom - top > 1 ? { left, top, right, bottom } : null;
  };
  const over = document.documentElement.scrollWidth - width;
  if (over > 0) faults.add(`${over} px too wide`);
  for (const icon of document.querySelectorAll("svg.i")) {
    if (!shown(icon)) continue;
    const box = icon.getBoundingClientRect(), why = box.width < 12 || box.height < 12 ? "squeezed" : cut(icon, box);
    if (why) faults.add(`icon ${why}: ${place(icon)}`);
  }
  const texts = [], range = document.createRange();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, e = node.parentElement;
    if (!node.data.trim() || e.closest("script, style") || !shown(e)) continue;
    range.selectNodeContents(node);
    const boxes = [...range.getClientRects()].filter((box) => box.width > 1 && box.height > 1);
    for (const box of boxes) {
      const why = cut(e, box);
      if (why) { faults.add(`text ${why}: ${place(e)} "${node.data.trim().slice(0, 40)}"`); break; }
    }
    const button = e.closest("button, .btn, .tag, .seg label"), edge = button?.getBoundingClientRect();
    const shortened = [e, button || e].some((each) => facts(each).dots);
    const leaves = (box) => box.left < edge.left - 1 || box.right > edge.right + 1
      || box.top < edge.top - 2 || box.bottom > edge.bottom + 2;
    const words = node.data.trim().slice(0, 40);
    if (button && !shortened && boxes.some(leaves)) faults.add(`text leaves its button: ${place(e)} "${words}"`);
    for (const box of boxes) {
      const seen = within(e, box);
      if (seen) texts.push({ box: seen, e, words });
    }
  }
  /* Texts on texts, except where one of them is scrolled under something that stays. */
  const stays = (e) => (!e || ["sticky", "fixed"].includes(facts(e).position) ? e : stays(e.parentElement));
  const visible = ({ e, box }) => {
    const at = document.elementFromPoint((box.left + box.right) / 2, (box.top + box.bottom) / 2);
    return !at || at === e || e.contains(at) || at.contains(e);
  };
  for (const text of texts) text.stays = stays(text.e);
  texts.sort((one, other) => one.box.top - other.box.top);
  texts.forEach((one, at) => {
    for (let next = at + 1; next < texts.length && texts[next].box.top < one.box.bottom - 3; next += 1) {
      const other = texts[next];
      if (one.stays !== other.stays || one.e === other.e) continue;
      const across = Math.min(one.box.right, other.box.right) - Math.max(one.box.left, other.box.left);
      const down = Math.min(one.box.bottom, other.box.bottom) - other.box.top;
      if (across <= 3 || down <= 4 || !(visible(one) || visible(other))) continue;
      faults.add(`text on text: ${place(one.e)} "${one.words}" and ${place(other.e)} "${other.words}"`);
    }
  });
  /* Words on lines of a drawing, except on the grid. */
  for (const text of document.querySelectorAll("svg text, .chart-box span, .lengths span")) {
    if (!shown(text)) continue;
    const box = text.getBoundingClientRect(), drawing = text.closest("figure, .chart-box, .lengths, svg");
    for (const line of drawing.querySelectorAll("svg line:not(.grid), svg .lim, .limit")) {
      const edge = line.getBoundingClientRect();
      if (line.contains(text) || !shown(line)) continue;
      const across = edge.left < box.right - 2 && edge.right > box.left + 2;
      const down = edge.top < box.bottom - 2 && edge.bottom > box.top + 2;
      if (across && down) faults.add(`label on a line: ${place(text)} "${text.textContent.slice(0, 30)}"`);
    }
  }
  /* Names at the ends of a curve, which are drawn on a canvas, on its lines. */
  for (const { chart } of document.querySelectorAll(".chart-box > .chart")) {
    if (!chart.plot || !chart.box.checkVisibility()) continue;
    const { plot, drawn, placed } = chart, ratio = devicePixelRatio;
    const toX = (x) => plot.bbox.left / ratio + plot.valToPos(x, "x");
    const toY = (y) => plot.bbox.top / ratio + plot.valToPos(y, "y");
    for (const { text, x, y, width: long } of placed) {
      if (x + long > plot.width + 1) faults.add(`name of a curve off the chart: "${text}"`);
      for (const { points } of drawn) {
        const on = points.filter(([, value]) => Number.isFinite(value)).map(([at, value]) => [toX(at), toY(value)]);
        for (let at = 1; at < on.length; at += 1) {
          for (let part = 0; part <= 20; part += 1) {
            const [left, top] = [0, 1].map((i) => on[at - 1][i] + ((on[at][i] - on[at - 1][i]) * part) / 20);
            const touches = left > x && left < x + long && top > y - 10 && top < y + 2;
            if (touches) faults.add(`name of a curve on a line: "${text}"`);
          }
        }
      }
    }
  }
  for (const table of document.querySelectorAll(".scroll-x")) {
    const wide = table.checkVisibility() && table.scrollWidth > table.clientWidth + 1;
    const shaded = getComputedStyle(table).backgroundImage !== "none";
    if (wide && !shaded) faults.add(`no sign that it scrolls: ${place(table)}`);
  }
  return [...faults];
}"""


def layout_faults(page: Page, place: str) -> list[str]:
    """What is wrong with the page as it is shown, at each width. `place` names it in the result."""
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        found += [f"{place}, {width} px: {fault}" for fault in page.evaluate(FAULTS)]
    return found
