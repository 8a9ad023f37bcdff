/* Owns: the arithmetic of curves. Pure functions on points [x, y]; knows nothing of the page. */
window.studio = window.studio || {};
(() => {
  /** Round steps between two values: 1, 2, 2.5 or 5 times a power of ten. */
  function ticks(low, high, wanted) {
    if (!(high > low)) return [low];
    const raw = (high - low) / Math.max(1, wanted);
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 2.5, 5, 10].map((times) => times * power).find((size) => size >= raw * 0.999);
    const out = [];
    for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + step * 1e-9; at += step) out.push(+at.toPrecision(12));
    return out;
  }
  /** Round distances between two times, in seconds. */
  const DAYS = [1, 2, 5, 10, 20, 50, 100, 200, 500].map((days) => days * 86400);
  const TIMES = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, ...DAYS];
  /** Powers of ten with 2 and 5 between them. */
  function logTicks(low, high) {
    const out = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
      for (const times of [1, 2, 5]) {
        const at = +(times * 10 ** power).toPrecision(3);
        if (at >= low * 0.999 && at <= high * 1.001) out.push(at);
      }
    }
    return out.length > 1 ? out : ticks(low, high, 4);
  }
  /** Room above and below the values that are drawn. */
  function extent(values, log) {
    let low = Infinity, high = -Infinity;
    for (const value of values) {
      if (!Number.isFinite(value) || (log && value <= 0)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
    if (low > high) return log ? [0.1, 10] : [0, 1];
    if (log) return low === high ? [low / 2, high * 2] : [low, high];
    if (low === high) return low === 0 ? [0, 1] : [low - Math.abs(low) * 0.1, high + Math.abs(high) * 0.1];
    const room = (high - low) * 0.04;
    const round = ticks(low, high, 6);
    const size = round.length > 1 ? round[1] - round[0] : high - low;
    return [Math.floor((low + room) / size) * size, Math.max(high, Math.ceil((high - room) / size) * size)].map((value) => +value.toPrecision(12));
  }
  /** A running mean that forgets; the first points are not pulled to zero. Skips what is no number. */
  function smooth(points, keep = 0.82) {
    let sum = 0, weight = 0;
    return points.map(([x, y]) => {
      if (!Number.isFinite(y)) return [x, y];
      sum = sum * keep + y * (1 - keep);
      weight = weight * keep + (1 - keep);
      return [x, sum / weight];
    });
  }
  /** Of very many steps those that a curve needs, as the server picks them: of each stretch the first, the lowest and the
      highest loss, the longest gradient; and the last of all. */
  function telling(rows, most) {
    const size = Math.ceil((rows.length * 4) / most), out = [];
    for (let start = 0; start < rows.length; start += size) {
      const part = rows.slice(start, start + size), kept = new Set([part[0]]);
      for (const [column, sign] of [[1, -1], [1, 1], [3, 1]]) {
        let found = null;
        for (const row of part) if (row[column] !== null && (!found || sign * row[column] > sign * found[column])) found = row;
        if (found) kept.add(found);
      }
      if (start + size >= rows.length) kept.add(rows[rows.length - 1]);
      out.push(...part.filter((row) => kept.has(row)));
    }
    return out;
  }
  /** Place of the first point at or after x, by bisection. */
  function place(points, x) {
    let low = 0, high = points.length;
    while (low < high) { const middle = (low + high) >> 1; if (points[middle][0] < x) low = middle + 1; else high = middle; }
    return low;
  }
  function nearest(points, x) {
    const at = place(points, x);
    if (at === 0) return points[0];
    if (at === points.length) return points[at - 1];
    return x - points[at - 1][0] <= points[at][0] - x ? points[at - 1] : points[at];
  }
  /** Put rows in by their step; a step that comes again (after a resume) takes the old one's place. */
  function merge(rows, more) {
    for (const row of more) {
      const last = rows[rows.length - 1];
      if (!last || last[0] < row[0]) { rows.push(row); continue; }
      const at = place(rows, row[0]);
      if (rows[at] && rows[at][0] === row[0]) rows[at] = row;
      else rows.splice(at, 0, row);
    }
    return rows;
  }
  Object.assign(window.studio, { scale: { TIMES, logTicks, extent, smooth, telling, place, nearest, merge } });
})();
