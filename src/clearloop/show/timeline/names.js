// The lanes' names, as elements: a tree that screen readers and keyboards walk. Only those in sight stand in the document
// (aria-setsize and aria-posinset tell the rest), and what cannot be seen in a lane stands in its label.

function paintNames() {
  const scroller = byId("scroller"), names = byId("names"), top = scroller.scrollTop;
  const key = [top, scroller.clientHeight, app.size, app.row, app.rows.length, app.model.duration].join();
  if (app.namesAt === key) return;
  app.namesAt = key;
  const rows = inSight(), items = [];
  const every = Math.ceil(11 / Math.max(1, app.size)); // thin lanes: every second or third name
  let section = null;
  for (const row of rows) {
    if (row.loop !== section) items.push(loopItem(row.loop.row, stripTop(row.loop, top)));
    section = row.loop;
    if (row.type !== "loop") items.push(nameItem(row, row.top - top, every));
  }
  names.replaceChildren(...items);
  const active = app.rows[app.row];
  if (active && byId(idOf(active))) names.setAttribute("aria-activedescendant", idOf(active));
  else names.removeAttribute("aria-activedescendant");
}

const idOf = (row) => `row-${row.key.replace(/\W/g, "-")}`;

function nameItem(row, y, every) {
  const { index, loop, lane, depth } = row;
  let name, text, meta = "";
  if (row.type === "group") {
    const { group } = row;
    name = groupName(group);
    meta = group.held ? `held ${duration(group.held)}` : "";
    text = `${name}, ${many(group.lanes.length, "task")}: ran ${duration(group.busy)} in ${many(group.steps, "step")}, awaited ${duration(group.waiting)}, held ${duration(group.held)} in all`;
  } else if (row.type === "worker") {
    const [id, called] = loop.workers[lane], [from, to] = loop.workRange[lane];
    name = called || `worker ${id}`;
    text = `worker ${name}: ${many(to - from, "job")}, ran ${duration(loop.work.sums.run[to] - loop.work.sums.run[from])}`;
  } else {
    name = laneName(loop, lane);
    text = laneText(loop, lane);
    if (lane >= 0 && loop.tasks.held[lane] >= MS) meta = `held ${duration(loop.tasks.held[lane])}`;
    if (row.parent && !row.open) meta = `+${row.inside}${meta ? ` · ${meta}` : ""}`;
  }
  const crowded = app.row >= 0 && Math.abs(index - app.row) < every; // the selected one has the room
  const thin = row.height < 11 && app.row !== index && (crowded || index % every !== 0);
  const item = element(
    "div",
    {
      id: idOf(row), role: "treeitem", class: `lane ${row.type}${thin ? " thin" : ""}${row.height < 11 ? " low" : ""}`, "aria-label": text, title: text,
      "aria-level": depth + 2, "aria-posinset": index + 1, "aria-setsize": app.rows.length,
      "aria-selected": String(app.row === index), "aria-expanded": row.parent ? String(row.open) : undefined, "data-index": index,
    },
    element("span", { class: "fold", "aria-hidden": "true" }, row.parent ? (row.open ? "▾" : "▸") : row.type === "worker" ? "⚙" : ""),
    element("span", { class: "who", dir: "auto" }, name),
    row.type === "group" ? element("span", { class: "count" }, `× ${grouped(row.group.lanes.length)}`) : null,
    meta && row.height >= 11 ? element("span", { class: meta.includes("held") ? "red" : "count" }, meta) : null,
  );
  item.style.transform = `translateY(${y}px)`;
  item.style.height = `${row.height}px`;
  item.style.setProperty("--indent", `${Math.min(depth, 8) * 12}px`);
  if (row.height < 18) item.style.fontSize = `${Math.max(9, Math.min(12, row.height - 2))}px`;
  return item;
}

function loopItem(row, y) {
  const { loop } = row, several = app.model.loops.length > 1;
  const busy = Math.max(0, covered(loop.runs, loop.begin, loop.end) || loop.end - loop.begin);
  const used = busy ? Math.max(0, 1 - covered(loop.waits, loop.begin, loop.end) / busy) : 0;
  const text = `loop ${loop.number}${loop.thread ? `, thread ${loop.thread}` : ""}: busy ${Math.round(used * 100)} % of ${duration(loop.end - loop.begin)}, ${many(loop.tasks.id.length, "task")}, ${many(loop.stalls.length, "stall")}, worst lag ${duration(worstLag(loop))}`;
  const item = element(
    "div",
    { id: idOf(row), role: "treeitem", class: "lane loop", "aria-label": text, title: text, "aria-level": 1, "aria-posinset": row.index + 1, "aria-setsize": app.rows.length, "aria-selected": String(app.rows[app.row] === row), "aria-expanded": "true", "data-index": row.index },
    element("span", { class: "upper" }, element("b", {}, several || loop.thread !== "MainThread" ? `Loop ${loop.number}${loop.thread ? ` · ${loop.thread}` : ""}` : "Utilisation"), element("span", { class: "count" }, `${Math.round(used * 100)} %`)),
    element("span", { class: "lower" }, "Lag", element("span", { class: "count" }, `up to ${duration(worstLag(loop))}`)),
  );
  item.style.transform = `translateY(${y}px)`;
  return item;
}

function selectRow(index, quiet) {
  app.row = Math.max(-1, Math.min(app.rows.length - 1, index));
  scrollToRow(app.row);
  const row = app.rows[app.row];
  if (row && !quiet) {
    const item = { task: () => laneText(row.loop, row.lane), callbacks: () => laneText(row.loop, -1) }[row.type];
    if (item) say(item());
    showRowDetails(row);
  }
  refresh();
}

/** Let a screen reader say it. */
function say(text) {
  byId("said").textContent = text;
}
