/* Owns: making an element's children look like HTML from the server, keeping what the person is in the middle of.
   A field that was just changed (`studio.hold`) stays so against drawings that were begun before the change came in. */
(() => {
  const keyOf = (n) => (n.nodeType === 1 ? n.dataset.key || n.id || (n.name && n.value && n.type === "radio" ? n.name + "=" + n.value : "") : "");
  const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);
  const KEPT = new Set(["data-busy", "data-had", "data-seen", "aria-busy"]);
  const HELD = 4000;                       /* ms; by then the answer to a change is there */
  const holds = new WeakMap();             /* field that a person changed → {sent, until, against: whether a drawing said otherwise} */
  let answered = 0;                        /* the act whose answer is being drawn */
  /** Whether a field stays as the person has just set it, though a drawing has it `otherwise`: one that was begun before. */
  function held(a, otherwise) {
    const hold = holds.get(a);
    if (!hold) return false;
    if (!otherwise || answered >= hold.sent || Date.now() >= hold.until) { holds.delete(a); return false; }
    return (hold.against = true);
  }
  /** Keep what was set in `field`, one of `fields`, until act `sent` is answered; `again` is called where no answer came. */
  window.studio.hold = (field, fields, sent, again) => {
    const peers = field.nodeName === "SELECT" ? [...field.options] : field.type === "radio" ? [...fields].filter((f) => f.type === "radio" && f.name === field.name) : [field];
    const hold = { sent, until: Date.now() + HELD, against: false };
    for (const each of peers) holds.set(each, hold);
    setTimeout(() => { if (hold.against && peers.some((each) => holds.get(each) === hold)) again(); }, HELD);
  };
  /** Give a field what a drawing has for it, unless it is held. */
  function put(a, what, value) { if (!held(a, a[what] !== value) && a[what] !== value) a[what] = value; }
  function attributes(a, b) {
    const typing = a === document.activeElement && a.matches("input:not([type=radio]):not([type=checkbox]),textarea");
    const whole = typing && a.selectionStart === 0 && a.selectionEnd === a.value.length;
    if (a.nodeName === "DETAILS" && b.dataset.opened !== undefined && a.dataset.opened === undefined) a.open = true;
    for (const { name } of [...a.attributes]) if (!b.hasAttribute(name) && !(name === "open" && a.nodeName === "DETAILS") && !KEPT.has(name)) a.removeAttribute(name);
    for (const { name, value } of b.attributes) if (!(name === "open" && a.nodeName === "DETAILS") && a.getAttribute(name) !== value) a.setAttribute(name, value);
    /* A new value removes the selection. What is typed next shall replace all of it, as before. */
    if (whole && (a.selectionStart !== 0 || a.selectionEnd !== a.value.length)) a.select();
    if (a.nodeName === "INPUT") {
      if (a.type === "radio" || a.type === "checkbox") put(a, "checked", b.hasAttribute("checked"));
      else if (!typing) put(a, "value", b.getAttribute("value") || "");
    } else if (a.nodeName === "OPTION") put(a, "selected", b.hasAttribute("selected"));
    return typing;
  }
  function children(a, b) {
    const old = new Map();
    for (const n of a.childNodes) { const k = keyOf(n); if (k) old.set(n.nodeName + k, n); }
    let at = a.firstChild;
    for (const want of [...b.childNodes]) {
      const k = keyOf(want), kept = k && old.get(want.nodeName + k);
      if (kept && kept !== at) { a.insertBefore(kept, at); at = kept; }
      if (at && alike(at, want)) { const next = at.nextSibling; one(at, want); at = next; }
      else a.insertBefore(want.cloneNode(true), at);
    }
    while (at) { const next = at.nextSibling; at.remove(); at = next; }
  }
  function one(a, b) {
    if (a.nodeType !== 1) { if (a.data !== b.data) a.data = b.data; return; }
    if (a.dataset.keep !== undefined && b.dataset.keep !== undefined) return;
    const typing = attributes(a, b);
    if (a.nodeName === "TEXTAREA") { if (!typing) put(a, "value", b.value); return; }
    children(a, b);
  }
  window.studio.morph = (node, html, act = 0) => {
    answered = act;
    const fresh = document.createElement("template");
    fresh.innerHTML = html || "";
    window.studio.translateTree(fresh.content);
    children(node, fresh.content);
  };
})();
