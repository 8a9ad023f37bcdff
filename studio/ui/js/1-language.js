/* Owns: the page's language. The server writes English; here every text that is about to be shown is looked up in the
   catalog of the chosen language (studio/ui/locales). A text without an entry stays English.
   Content of the user (rows, names, replies) stays as it is: inside `translate="no"`, inside “quotes”, and in a message
   where a placeholder is one of NAMES, as in "Delete {name}". */
(() => {
  const { studio } = window;
  const KEY = "studio-language", MOST_REMEMBERED = 5000, LONGEST = 4000;   /* characters: a longer text is the user's */
  const ATTRIBUTES = ["title", "aria-label", "aria-description", "placeholder", "alt", "data-confirm", "data-ask"];
  const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const offered = Object.keys(window.studioLanguages);
  const stored = () => { try { return localStorage.getItem(KEY) || ""; } catch { return ""; } };
  /** The language that was chosen in the menu, else the first of the browser's languages that is offered. */
  const choose = () => {
    const preferred = [stored(), ...(navigator.languages || [])];
    for (const each of preferred) for (const code of [each, each.split("-")[0]]) if (offered.includes(code)) return code;
    return "en";
  };
  const language = (studio.language = choose());
  const { direction } = window.studioLanguages[language];
  let exact = new Map(), patterns = [], vocabulary = new Set();
  const remembered = new Map();

  /* --- looking up a text --- */
  /** Placeholders for what the user named: the values are not translated. Neither is a name in “quotes”. */
  const NAMES = /^(name|person|file|file_name|filename|path|sheet|column|group_column|time_column|split_column|label|dataset|run|model|hub_id|revision|config|splits|stem|listed|named)\d*$/;
  /** "{rows} of {total}" as a regular expression. */
  function pattern(message, translation) {
    const names = [], quoted = [], marked = [];
    const source = message.split(/(“?\{\w+\})/).map((part, at, all) => {
      const name = /^“?\{(\w+)\}$/.exec(part)?.[1];
      if (!name) return escaped(part);
      names.push(name);
      marked.push(part.startsWith("“"));
      quoted.push(marked.at(-1) || NAMES.test(name));
      const glued = /\S$/.test(all[at - 1]) || /^[\p{L}(]/u.test(all[at + 1]);   /* an optional part, as in "{n} ready{others}" */
      return `${part.startsWith("“") ? "“" : ""}([^]${glued ? "*" : "+"}?)`;
    }).join("");
    const literals = message.split(/\{\w+\}/), longest = literals.reduce((a, b) => (b.length > a.length ? b : a), "");
    const weak = literals.join("").replace(/[^\p{L}]/gu, "").length < 5;   /* "{a} of {b}" also fits sentences that it is not */
    return { regex: new RegExp(`^${source}$`), names, quoted, marked, longest, weak, size: literals.join("").length, translation };
  }
  /** The user's text in a sentence that runs the other way keeps its own direction. */
  const apart = (text) => (direction === "rtl" ? `\u2068${text}\u2069` : text);
  const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const SENTENCES = /(?<=[.!?…]) (?=\S)/;
  /** Whether a value or a part without an entry stays as it is. English words of the page are no such part, since the
      text would mix two languages: then the text is another message, or stays English as a whole. What the user wrote
      has other words. `strictly`: all are other words; else half of them, and such readings are tried last. */
  function stays(text, strictly) {
    const words = text.replace(/“[^”]*”/g, "").split(/\s+/).map((word) => word.replace(/^[^\p{L}]+|[^\p{L}]+$/gu, "")).filter((word) => word.length > 1);
    const ours = words.filter((word) => vocabulary.has(word) || vocabulary.has(word[0].toLowerCase() + word.slice(1)));
    return strictly ? !ours.length : !/ /.test(text) || ours.length * 2 <= words.length;
  }
  const separated = (value) => /^[·,;:] |[ ·;]$|\d\.$/.test(value);   /* a value is never "· nothing to download", or "40." */
  /** A text as a message with values. Not `loose`: no value goes over the end of a sentence, except a name in “quotes”. */
  function matched(text, loose, strictly) {
    for (const each of patterns) {
      if (!text.includes(each.longest)) continue;
      const match = each.regex.exec(text), found = match?.slice(1);
      if (!match || found.some((value, at) => !each.marked[at] && (separated(value) || (strictly && !each.quoted[at] && value.includes(" · "))))) continue;
      if (each.names.some((name, at) => name === "n" && !/\d/.test(found[at]))) continue;   /* "{n} test rows" is not "No test rows" */
      if (!loose && found.some((value, at) => SENTENCES.test(value) && (!each.marked[at] || /[“”]/.test(value)))) continue;
      const translated = each.names.map((name, at) => (each.quoted[at] ? apart(found[at]) : read(found[at], true)));
      if (translated.some((value, at) => value === null && !stays(found[at], strictly))) continue;
      if (each.weak && translated.some((value, at) => (value === null && /\s/.test(found[at])) || ((value === null || each.quoted[at]) && !each.marked[at] && !stays(found[at], true)))) continue;
      const values = Object.fromEntries(each.names.map((name, at) => [name, translated[at] ?? found[at]]));
      return each.translation.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
    }
    return null;
  }
  /** One message as a whole. */
  const message = (text, strictly) =>
    named(text) ?? quantity(text) ?? matched(text, false, true) ?? (strictly ? null : matched(text, false, false)) ?? valued(text);
  /** The entry of a text, or of one that begins with a small or a capital letter instead. */
  function named(text) {
    const other = text[0] === text[0].toUpperCase() ? text[0].toLowerCase() : text[0].toUpperCase(), small = other === other.toLowerCase();
    const result = exact.get(text) ?? exact.get(other + text.slice(1));
    return result && small && !exact.has(text) ? result[0].toUpperCase() + result.slice(1) : result;
  }
  /** A name of ours and its value: "learning rate 0.0002". */
  function valued(text) {
    const match = /^(\p{L}.*) ([^ ]*\d[^ ]*|on|off|yes|no|automatic|none)$/u.exec(text), name = match && named(match[1]);
    return name ? `${name} ${quantity(match[2]) ?? exact.get(match[2]) ?? match[2]}` : null;
  }
  /** The parts of a text. A gap inside “quotes” belongs to the user's text and divides nothing. */
  function divided(text, gap, sign) {
    const parts = text.split(gap), whole = [];
    let open = false;
    for (const part of parts) {
      whole.push(open ? whole.pop() + sign + part : part);
      open = whole.at(-1).lastIndexOf("“") > whole.at(-1).lastIndexOf("”");
    }
    return open ? parts : whole;   /* a quote that does not end is no quote */
  }
  /** Several messages in one text, with `sign` between them at each `gap`. A message can have such a sign inside, so the
      longest are tried first. Null when no part has an entry, or when a part of a sentence would stay English. */
  function pieces(text, gap, sign, strictly) {
    const parts = divided(text, gap, sign), translated = [], apart = gap === SENTENCES || sign === " · ";
    if (parts.length < 2 || parts.length > 40) return null;
    let known = false;
    for (let at = 0, end; at < parts.length; at = end) {
      let result = null;
      for (end = Math.min(parts.length, at + 4); end > at + 1; end--) {
        const joined = parts.slice(at, end).join(sign);
        result = end - at < parts.length ? message(joined, strictly) ?? unended(joined, strictly) : null;
        if (result !== null) break;
      }
      result ??= read(parts[at], strictly || !apart);
      if (result === null && (strictly || !apart) && !stays(parts[at], strictly)) return null;
      known ||= result !== null;
      translated.push(result ?? parts[at]);
    }
    return known ? translated.join(sign === " " && language === "zh" ? "" : sign) : null;
  }
  const sentences = (text, strictly) => pieces(text, SENTENCES, " ", strictly);
  /** The parts of one sentence: between dots, semicolons, colons or commas. */
  function parts(text, strictly) {
    for (const [gap, sign] of [[/ · /, " · "], [/; /, "; "], [/(?<=:) /, " "], [/, /, ", "]]) {
      const result = pieces(text, gap, sign, strictly);
      if (result !== null) return result;
    }
    return null;
  }
  /** A text that is shown without the period at its end. */
  function unended(text, strictly) {
    return /[.!?…:]$/.test(text) ? null : message(`${text}.`, strictly)?.replace(/[.。]$/, "") ?? null;
  }
  /** A text before a colon, or the last part of a list: its entry does not have the sign at its end. */
  function ended(text, strictly) {
    const sign = /[:.]$/.exec(text)?.[0], result = sign ? read(text.slice(0, -1), strictly) : null;
    return result && result + (language === "zh" ? { ":": "：", ".": "。" }[sign] : sign);
  }
  /** A text or a value: read strictly, and only then otherwise. */
  function read(text, strictly) {
    if (!text) return null;
    const key = `${strictly ? 1 : 0}${text}`;
    if (remembered.has(key)) return remembered.get(key);
    let result = message(text, true);
    for (const each of strictly ? [true] : [true, false]) {
      if (result !== null || !/\p{L}{2}/u.test(text)) break;
      result = (each ? null : message(text, false)) ?? unended(text, each) ?? sentences(text, each) ?? matched(text, true, each) ?? ended(text, each) ?? parts(text, each);
    }
    if (remembered.size > MOST_REMEMBERED) remembered.clear();
    remembered.set(key, result);
    return result;
  }

  /* --- numbers and dates --- */
  const formats = new Map();
  function format(digits, useGrouping) {
    const key = `${digits} ${useGrouping}`;
    if (!formats.has(key)) formats.set(key, new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits, useGrouping }));
    return formats.get(key);
  }
  const number = (text) => format(text.split(".")[1]?.length || 0, text.includes(",")).format(Number(text.replaceAll(",", "")));
  /** A number with its unit, a share or a date, as the language writes it; null for anything else. */
  function quantity(text) {
    const size = /^([+−-]?)(\d[\d,]*(?:\.\d+)?)(?:([–-])(\d[\d,]*(?:\.\d+)?))?( ?%| bytes| [KMGT]?B| [MB]| s| min| h)?$/.exec(text);
    if (size) {
      const written = size[1] + number(size[2]) + (size[4] ? size[3] + number(size[4]) : ""), unit = size[5] || "";
      return exact.get(`{number}${unit}`)?.replace("{number}", written) ?? written + unit;
    }
    const date = /^(\d{1,2}) ([A-Z][a-z]{2})(?: (\d{4}))?$/.exec(text), month = date ? MONTHS.indexOf(date[2]) : -1;
    if (month < 0) return null;
    const options = { day: "numeric", month: "short", ...(date[3] ? { year: "numeric" } : {}) };
    return new Intl.DateTimeFormat(language, options).format(new Date(Number(date[3] || 2024), month, Number(date[1])));
  }

  /* --- what the page calls --- */
  /** A text in the chosen language, with the spaces around it. */
  studio.translate = (text) => {
    if (language === "en" || text.length > LONGEST || !/[\p{L}\d]/u.test(text)) return text;
    const [, before, inner, after] = /^([\s·,;:]*)([^]*?)([\s·,;]*)$/.exec(text), result = read(inner.replace(/\s+/g, " "), false);
    return result === null ? text : before + result + after;
  };
  /** A classifier's answer with our note in the user's text: "refund (66%, nearest neighbors from your labels)". */
  studio.explained = (text) => text.replace(/nearest neighbors from your labels(?=\)$)/, studio.translate);
  /** Translate an element and all below it, except what is inside `translate="no"`, what was typed, and code. */
  studio.translateTree = (root) => {
    if (language === "en") return root;
    if (root.nodeType === 1) translateAttributes(root);
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT, (node) => {
      if (node.nodeType === 3) return node.parentElement?.translate === false ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT;
      translateAttributes(node);
      const whole = node.matches("script,style,textarea,code,pre") || (node.translate === false && !node.querySelector("[translate=yes]"));
      return whole ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_SKIP;
    });
    while (walker.nextNode()) {
      const node = walker.currentNode, text = studio.translate(node.data);
      if (text !== node.data) node.data = text;
    }
    return root;
  };
  function translateAttributes(element) {
    if (element.translate === false) return;
    for (const name of ATTRIBUTES) {
      const value = element.getAttribute(name);
      if (value) element.setAttribute(name, studio.translate(value));
    }
  }

  /* --- the start of the page --- */
  document.documentElement.lang = language;
  document.documentElement.dir = direction;
  /** Resolved once texts can be translated. Without the catalog, the page is in English. */
  studio.languageReady = (async () => {
    if (language === "en") return;
    const address = studio.url(`studio/languages/${language}.json?${window.studioLanguages[language].version}`);
    const messages = await fetch(address).then((answer) => (answer.ok ? answer.json() : {})).catch(() => ({}));
    exact = new Map(Object.entries(messages));
    vocabulary = new Set(Object.keys(messages).flatMap((text) => text.replace(/\{\w+\}/g, " ").match(/(?<![\p{L}\p{N}_.])\p{Ll}[\p{Ll}'’-]+(?![\p{L}\p{N}_]|\.\p{L})/gu) || []));
    patterns = Object.entries(messages).filter(([message]) => /\{\w+\}/.test(message)).map(([message, translation]) => pattern(message, translation));
    patterns.sort((a, b) => b.size - a.size);
  })();
  /** The menu in the header. Another language draws the page again. */
  document.addEventListener("change", (e) => {
    if (!e.target.matches?.("select.language")) return;
    try { localStorage.setItem(KEY, e.target.value); } catch { /* the browser's language stays */ }
    location.reload();
  });
  studio.dressHeader = () => {
    const menu = document.querySelector("select.language");
    if (menu) menu.value = language;
    for (const part of document.querySelectorAll(".top > .block:not(#runbar-view), .banner")) studio.translateTree(part);
  };
  /** Called by Gradio for a part that a script draws: `name` is that script. */
  studio.begin = async (name, element) => {
    await studio.languageReady;
    studio[name](studio.translateTree(element));
  };
})();
