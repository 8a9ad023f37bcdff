/* Owns: that no act is lost on its way. Gradio's page closes its stream of answers when nothing is pending; an act that
   is sent in that moment would be answered into a stream that nobody reads, until the next act opens another one.
   So Gradio hears that an act was taken only once the stream has spoken of it, or has ended and can be opened again. */
(() => {
  const PATIENCE = 5000;                                   /* ms; then it is told as if nothing had been awaited */
  const AFTER = 4;                                         /* ms; Gradio first shows what was answered before */
  const plain = window.fetch.bind(window);
  const spoken = new Set(), waiting = new Map();           /* event ids: heard of in the stream; not heard of yet */
  let open = 0;
  const goOn = (id) => { const go = waiting.get(id); waiting.delete(id); if (go) setTimeout(go, AFTER); };
  const hear = (id) => { if (waiting.has(id)) goOn(id); else { spoken.add(id); setTimeout(() => spoken.delete(id), PATIENCE); } };

  async function listen(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    try {
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        const lines = (rest + part.value).split("\n\n");
        rest = lines.pop();
        for (const line of lines) { const id = line.match(/"event_id":\s*"([0-9a-f]+)"/)?.[1]; if (id) hear(id); }
      }
    } catch { /* closed by the page */ }
    open -= 1;
    if (!open) setTimeout(() => { if (!open) for (const id of [...waiting.keys()]) goOn(id); }, 20);
  }
  async function taken(answer) {
    const id = (await answer.clone().json().catch(() => null))?.event_id;
    if (!id || !open) return answer;
    await new Promise((resolve) => { waiting.set(id, resolve); if (spoken.delete(id)) goOn(id); else setTimeout(goOn, PATIENCE, id); });
    return answer;
  }
  window.fetch = async (input, init) => {
    const { pathname: path, searchParams: asked } = new URL(input instanceof Request ? input.url : input, location.href);
    if (path.endsWith("/queue/join")) return taken(await plain(input, init));
    if (!path.endsWith("/queue/data")) return plain(input, init);
    window.studio.session = asked.get("session_hash");     /* how Gradio names this open page */
    open += 1;
    let answer;
    try { answer = await plain(input, init); } catch (error) { open -= 1; throw error; }
    if (!answer.ok || !answer.body) { open -= 1; return answer; }
    const [theirs, ours] = answer.body.tee();
    listen(ours);
    return new Response(theirs, { status: answer.status, statusText: answer.statusText, headers: answer.headers });
  };
})();
