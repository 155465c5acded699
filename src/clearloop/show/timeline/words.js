// Times, places and sentences: what is said in words, the same in the details, the tables and to a screen reader.

const MS = 1e6, SECOND = 1e9;

/** A duration (ns) in three figures: 1.00 s, 12.3 ms, 450 µs. */
function duration(ns) {
  if (ns < 0) return "−" + duration(-ns);
  if (ns < 1e3) return `${Math.round(ns)} ns`;
  if (ns < 999.5e3) return `${figures(ns / 1e3)} µs`;
  if (ns < 999.5e6) return `${figures(ns / MS)} ms`;
  if (ns < 120 * SECOND) return `${figures(ns / SECOND)} s`;
  const minutes = Math.floor(ns / 60 / SECOND);
  if (minutes < 120) return `${minutes} min ${Math.floor(ns / SECOND - 60 * minutes)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function figures(value) {
  return value < 9.995 ? value.toFixed(2) : value < 99.95 ? value.toFixed(1) : value.toFixed(0);
}

/** A moment (ns) with as many digits as a step of the axis needs. */
function moment(ns, step = 1e3) {
  const [unit, name] = step >= 1e7 ? [SECOND, "s"] : step >= 1e4 ? [MS, "ms"] : step >= 10 ? [1e3, "µs"] : [1, "ns"];
  const digits = Math.max(0, Math.ceil(-Math.log10(step / unit) - 1e-9));
  return `${grouped((ns / unit).toFixed(digits))} ${name}`;
}

/** When something was, for a table or a sentence: seconds, to the microsecond where the whole run is short. */
function clock(ns) {
  const lasts = app.model.duration;
  return lasts < SECOND ? `${grouped((ns / MS).toFixed(lasts < 10 * MS ? 3 : 2))} ms` : `${grouped((ns / SECOND).toFixed(3))} s`;
}

/** Digits of the whole part in threes, by narrow spaces. */
function grouped(text) {
  const [whole, part] = String(text).split(".");
  const spaced = whole.length > 4 ? whole.replace(/\B(?=(\d{3})+$)/g, "\u202f") : whole;
  return part === undefined ? spaced : `${spaced}.${part}`;
}

function many(count, one, more = one + "s") {
  return `${grouped(count)} ${count === 1 ? one : more}`;
}

function baseName(path) {
  return path.slice(path.lastIndexOf("/") + 1) || path;
}

/** "app.py:12", or "" where the place is not known. */
function placeText(model, place) {
  if (place < 0) return "";
  const [file, line] = model.places[place];
  return baseName(model.strings[file]) + (line ? `:${line}` : "");
}

function placeCode(model, place) {
  return place < 0 ? "" : model.strings[model.places[place][3]];
}

function laneName(loop, lane) {
  return lane < 0 ? "callbacks" : loop.model.strings[loop.tasks.name[lane]] || `task ${loop.tasks.id[lane]}`;
}

/** One sentence about a span, without the name of its lane. */
function spanText(loop, span) {
  const { spans, model } = loop;
  const label = model.strings[spans.label[span]];
  const lasted = duration(spans.end[span] - spans.begin[span]);
  const place = placeText(model, spans.place[span]), code = placeCode(model, spans.place[span]);
  const at = place ? ` at ${place}${code ? ` ${code}` : ""}` : "";
  switch (spans.kind[span]) {
    case RUN:
      return `ran ${lasted}${spans.lane[span] < 0 && label ? `, ${label}` : ""}${at}`;
    case AWAIT:
      return `awaited ${label || "something"} for ${lasted}${at}`;
    case HELD:
      return `held ${lasted}${heldBy(loop, spans.by[span])}${others(loop, span)}`;
    case READY:
      return `ready for ${lasted}, until its turn`;
    default:
      return `not recorded for ${lasted}`;
  }
}

/** " by job 1 at app.py:12 time.sleep(1)" */
function heldBy(loop, holder) {
  if (holder < 0) return "";
  const { spans, model } = loop;
  const place = spans.place[holder];
  const where = placeText(model, place), code = placeCode(model, place);
  const who = spans.lane[holder] < 0 ? model.strings[spans.label[holder]] || "a callback" : laneName(loop, spans.lane[holder]);
  return ` by ${who}${where ? ` at ${where}` : ""}${code ? ` ${code}` : ""}`;
}

/** Of a held span: how many steps held it beside the one that is named. */
function others(loop, span) {
  const count = loop.holdersOf(span).length - 1;
  return count > 0 ? ` and ${many(count, "more step")}` : "";
}

/** What a lane is about, for those who do not see it. */
function laneText(loop, lane) {
  const { tasks } = loop;
  if (lane < 0) {
    const [from, to] = loop.range(lane);
    return `callbacks: ran ${duration(loop.sums.run[to] - loop.sums.run[from])} in ${many(to - from, "step")}`;
  }
  const parts = [`ran ${duration(tasks.busy[lane])} in ${many(tasks.steps[lane], "step")}`];
  if (tasks.waiting[lane]) parts.push(`awaited ${duration(tasks.waiting[lane])}`);
  if (tasks.held[lane]) parts.push(`held ${duration(tasks.held[lane])}${heldBy(loop, loop.worstHolder(lane))}${loop.worstHeld >= 0 ? others(loop, loop.worstHeld) : ""}`);
  parts.push(OUTCOMES[tasks.outcome[lane]]);
  return `${laneName(loop, lane)}: ${parts.join(", ")}`;
}

/** An element with properties and children; what is a string becomes a text node and never markup. */
function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "class") made.className = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

const byId = (id) => document.getElementById(id);
