/* Owns: sending a file, with how far it is and a way to cancel. */
(() => {
  const { studio } = window;
  studio.upload = (file, place, done) => {
    const say = (html) => { const at = place && document.contains(place) ? place : studio.toast(); at.replaceChildren(html); };
    const words = document.createElement("p"), bar = document.createElement("span"), fill = document.createElement("i"), stop = document.createElement("button");
    words.className = "muted"; bar.className = "track"; bar.append(fill); stop.className = "btn s"; stop.type = "button"; stop.textContent = studio.translate("Cancel");
    const box = document.createElement("div"); box.className = "stack tight upload"; box.append(words, bar, stop);
    const mb = (n) => (n / 1e6 < 10 ? (n / 1e6).toFixed(1) : Math.round(n / 1e6).toLocaleString("en")) + " MB";
    const show = (at) => { words.textContent = studio.translate(at < file.size ? `Sending ${file.name}: ${mb(at)} of ${mb(file.size)}` : `Reading ${file.name} …`); fill.style.width = (100 * at) / (file.size || 1) + "%"; };
    const fail = (text) => { words.textContent = studio.translate(text); words.className = "wrong"; words.setAttribute("role", "alert"); bar.remove(); stop.remove(); };
    const send = new XMLHttpRequest();
    send.open("PUT", studio.url("studio/upload"));
    for (const [k, v] of Object.entries(studio.headers())) send.setRequestHeader(k, v);
    send.setRequestHeader("X-File-Name", encodeURIComponent(file.name));
    send.upload.onprogress = (e) => show(e.loaded);
    send.onerror = () => fail("The server does not answer, so the file was not uploaded. Choose it again in a moment.");
    send.onabort = () => box.remove();
    send.onload = () => {
      let said = {}; try { said = JSON.parse(send.responseText); } catch { /* no answer of ours */ }
      if (!said.ticket) return fail(said.error?.message || "The upload failed. Choose the file again.");
      show(file.size); stop.remove(); done(said.ticket);
      studio.beats.push(function once() { box.remove(); studio.beats.splice(studio.beats.indexOf(once), 1); });
    };
    stop.onclick = () => send.abort();
    show(0); say(box); send.send(file);
  };
})();
