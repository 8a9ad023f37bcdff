/* Owns: making an element's children look like HTML from the server, keeping what the person is in the middle of. */
(() => {
  const keyOf = (n) => (n.nodeType === 1 ? n.dataset.key || n.id || (n.name && n.value && n.type === "radio" ? n.name + "=" + n.value : "") : "");
  const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);
  const KEPT = new Set(["data-busy", "data-had", "data-seen", "aria-busy"]);
  function attributes(a, b) {
    if (a.nodeName === "DETAILS" && b.dataset.opened !== undefined && a.dataset.opened === undefined) a.open = true;
    for (const { name } of [...a.attributes]) if (!b.hasAttribute(name) && !(name === "open" && a.nodeName === "DETAILS") && !KEPT.has(name)) a.removeAttribute(name);
    for (const { name, value } of b.attributes) if (!(name === "open" && a.nodeName === "DETAILS") && a.getAttribute(name) !== value) a.setAttribute(name, value);
    const typing = a === document.activeElement && a.matches("input:not([type=radio]):not([type=checkbox]),textarea");
    if (a.nodeName === "INPUT") {
      if (a.type === "radio" || a.type === "checkbox") a.checked = b.hasAttribute("checked");
      else if (!typing && a.value !== (b.getAttribute("value") || "")) a.value = b.getAttribute("value") || "";
    } else if (a.nodeName === "OPTION") { if (a.selected !== b.hasAttribute("selected")) a.selected = b.hasAttribute("selected"); }
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
    if (a.nodeName === "TEXTAREA") { if (!typing && a.value !== b.value) a.value = b.value; return; }
    children(a, b);
  }
  window.studio.morph = (node, html) => {
    const fresh = document.createElement("template");
    fresh.innerHTML = html || "";
    children(node, fresh.content);
  };
})();
