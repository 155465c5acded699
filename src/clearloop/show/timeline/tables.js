// The worst stalls and the tasks, sortable; a click jumps to the place. So many rows at a time, the rest on demand.

const AT_ONCE = 100;

const tables = {
  stalls: {
    title: "Worst stalls",
    empty: "No step held the loop for long enough to be called a stall.",
    sorted: ["lasted", -1],
    columns: [
      { key: "lasted", title: "Held for", number: true, value: (r) => r.lasted, show: (r) => duration(r.lasted) },
      { key: "who", title: "By", value: (r) => r.who, show: (r) => r.who },
      { key: "place", title: "Line", value: (r) => r.where, show: (r) => [element("span", { class: "file" }, r.where), " ", element("code", {}, r.code)] },
      { key: "victims", title: "Waited", number: true, value: (r) => r.victims, show: (r) => grouped(r.victims) },
      { key: "verdict", title: "Verdict", value: (r) => r.verdict, show: (r) => r.verdict },
      { key: "begin", title: "At", number: true, value: (r) => r.begin, show: (r) => clock(r.begin) },
    ],
  },
  tasks: {
    title: "Tasks",
    empty: "No task was recorded.",
    sorted: ["held", -1],
    columns: [
      { key: "name", title: "Task", value: (r) => laneName(r.loop, r.lane), show: (r) => laneName(r.loop, r.lane) },
      { key: "coro", title: "Coroutine", value: (r) => app.model.strings[r.loop.tasks.coro[r.lane]], show: (r) => element("code", {}, app.model.strings[r.loop.tasks.coro[r.lane]]) },
      ...[["busy", "Busy"], ["waiting", "Waiting"], ["held", "Held"]].map(([key, title]) => ({
        key, title, number: true, value: (r) => r.loop.tasks[key][r.lane], show: (r) => (r.loop.tasks[key][r.lane] ? element("span", { class: key === "held" ? "red" : "" }, duration(r.loop.tasks[key][r.lane])) : "–"),
      })),
      { key: "steps", title: "Steps", number: true, value: (r) => r.loop.tasks.steps[r.lane], show: (r) => grouped(r.loop.tasks.steps[r.lane]) },
      { key: "outcome", title: "End", value: (r) => OUTCOMES[r.loop.tasks.outcome[r.lane]], show: (r) => OUTCOMES[r.loop.tasks.outcome[r.lane]] },
    ],
  },
};

let shown = "stalls", most = AT_ONCE;

function prepareTables() {
  tables.stalls.rows = app.model.loops.flatMap((loop) =>
    loop.stalls.map((stall) => {
      const place = stall.place >= 0 ? stall.place : stall.span >= 0 ? loop.spans.place[stall.span] : -1, { report } = stall;
      const countable = loop.stalls.length * loop.tasks.id.length < 4e6;
      const victims = countable ? loop.waitedFor(stall).length : 0;
      return {
        loop, stall, begin: stall.begin, lasted: stall.end - stall.begin, verdict: stall.verdict,
        who: stall.task >= 0 ? laneName(loop, stall.task) : String(report.task ?? report.callback ?? "a callback"),
        where: placeText(app.model, place) || (report.file ? `${baseName(String(report.file))}:${report.line}` : ""),
        code: placeCode(app.model, place) || String(report.code ?? ""),
        victims: victims || Number(report.delayed_count) || 0, // the report knows callbacks, too, but no lanes
      };
    }),
  );
  tables.tasks.rows = app.model.loops.flatMap((loop) => Array.from(loop.tasks.id, (_, lane) => ({ loop, lane })));
  shown = tables.stalls.rows.length ? "stalls" : "tasks";
  byId("tabs").replaceChildren(
    ...Object.entries(tables).map(([name, table]) =>
      element("button", { role: "tab", id: `tab-${name}`, "aria-controls": "table", onclick: () => showTable(name) }, table.title, element("span", { class: "count" }, grouped(table.rows.length))),
    ),
  );
  byId("tabs").addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    showTable(shown === "stalls" ? "tasks" : "stalls");
    byId(`tab-${shown}`).focus();
  });
  showTable(shown);
}

function sortTable(table) {
  const [key, direction] = table.sorted, { value } = table.columns.find((column) => column.key === key);
  const keys = table.rows.map(value);
  const order = Array.from(keys, (_, i) => i);
  order.sort((a, b) => (keys[a] < keys[b] ? -direction : keys[a] > keys[b] ? direction : a - b));
  table.order = order;
}

function showTable(name) {
  if (name !== shown) most = AT_ONCE;
  shown = name;
  for (const one of Object.keys(tables)) {
    byId(`tab-${one}`).setAttribute("aria-selected", String(one === name));
    byId(`tab-${one}`).tabIndex = one === name ? 0 : -1;
  }
  const table = tables[name], home = byId("table");
  home.setAttribute("aria-labelledby", `tab-${name}`);
  if (!table.rows.length) return home.replaceChildren(element("p", { class: "soft" }, table.empty));
  sortTable(table);
  const [key, direction] = table.sorted;
  const heads = table.columns.map((column) =>
    element("th", { scope: "col", class: column.number ? "number" : "", "aria-sort": column.key === key ? (direction > 0 ? "ascending" : "descending") : "none" },
      element("button", { "data-key": column.key, onclick: () => sortBy(table, column) }, column.title, element("span", { class: "arrow", "aria-hidden": "true" }, column.key === key ? (direction > 0 ? " ↑" : " ↓") : ""))),
  );
  const body = table.order.slice(0, most).map((at) => tableRow(table, table.rows[at]));
  const more = table.rows.length - most;
  home.replaceChildren(
    element("table", { "aria-rowcount": table.rows.length }, element("caption", { class: "unseen" }, table.title), element("thead", {}, element("tr", {}, heads)), element("tbody", {}, body)),
    more > 0 ? element("button", { class: "more", onclick: () => { most += 5 * AT_ONCE; showTable(shown); } }, `Show more (${grouped(more)})`) : "",
  );
}

function sortBy(table, column) {
  const [key, direction] = table.sorted;
  table.sorted = [column.key, column.key === key ? -direction : column.number ? -1 : 1];
  showTable(shown);
  byId("table").querySelector(`[data-key="${column.key}"]`).focus();
}

/** The first cell's button is what the keyboard reaches; a click anywhere in the row does the same. */
function tableRow(table, row) {
  const go = table === tables.stalls ? () => goToStall(row) : () => goToTask(row.loop, row.lane);
  const cells = table.columns.map((column, index) => {
    const content = [column.show(row)].flat();
    return element("td", { class: column.number ? "number" : column.key }, index === 0 ? element("button", { class: "link" }, ...content) : content);
  });
  return element("tr", { onclick: go }, cells);
}

function goToStall({ loop, stall }) {
  if (stall.span >= 0) jumpTo(loop, stall.span);
  else goToSpan(stall.begin, stall.end);
  if (!loop.isOneStep(stall)) byId("details").replaceChildren(...stallDetails(loop, stall));
}

/** A task's lane, at what was worst there: where it was held the longest, else ran the longest. */
function goToTask(loop, lane) {
  const { spans } = loop, [from, to] = loop.range(lane);
  let best = from, weight = -1;
  for (let i = from; i < to; i++) {
    const one = (spans.end[i] - spans.begin[i]) * (spans.kind[i] === HELD ? 1e6 : spans.kind[i] === RUN ? 1 : 1e-6);
    if (one > weight) {
      weight = one;
      best = i;
    }
  }
  if (from < to) jumpTo(loop, best);
  else selectRow(reveal(loop, lane));
}
