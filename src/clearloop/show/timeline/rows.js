// Which lanes are there, in which order and how high. Only this list grows with the number of tasks; what is drawn, and
// what stands in the document, is the part of it that is in sight.

const AXIS = 26, STRIP = 56, GROUP = 40; // px
const GROUP_FROM = 150; // so many tasks are folded into groups by coroutine
const SMALLEST = 4, LARGEST = 28, READABLE = 12; // px of a lane

const app = {
  model: null, rows: [], height: 0, size: 0, wantedSize: 0, grouped: false, folded: new Set(), opened: new Set(),
  filter: "", matches: 0, view: { begin: 0, end: 1 }, width: 1, row: -1, span: null, hover: null, movesUntil: 0, stats: { items: 0, ms: 0, frames: 0 },
  /** Pixels per ns. */
  get scale() {
    return this.width / (this.view.end - this.view.begin);
  },
};

function buildRows() {
  const rows = [];
  app.matches = 0;
  for (const loop of app.model.loops) {
    rows.push({ type: "loop", loop, lane: -2, depth: 0, key: `${loop.number}` });
    if (app.filter) addMatches(rows, loop);
    else {
      const [from, to] = loop.range(-1);
      if (to > from) rows.push({ type: "callbacks", loop, lane: -1, depth: 0, key: `${loop.number}:callbacks` });
      if (app.grouped) addGroups(rows, loop);
      else addTree(rows, loop);
      loop.workers.forEach((_, worker) => {
        const [a, b] = loop.workRange[worker];
        if (b > a) rows.push({ type: "worker", loop, lane: worker, depth: 0, key: `${loop.number}:w${worker}` });
      });
    }
  }
  app.rows = rows;
  measureRows();
}

function taskRow(loop, lane, depth) {
  return { type: "task", loop, lane, depth, key: `${loop.number}:${lane}` };
}

function addTree(rows, loop) {
  const { depth } = loop.tasks, count = depth.length;
  for (let lane = 0; lane < count; lane++) {
    const row = taskRow(loop, lane, depth[lane]);
    rows.push(row);
    row.parent = lane + 1 < count && depth[lane + 1] > depth[lane];
    row.open = row.parent && !app.folded.has(row.key);
    if (row.parent && !row.open) {
      let next = lane + 1;
      while (next < count && depth[next] > depth[lane]) next++;
      row.inside = next - lane - 1;
      lane = next - 1;
    }
  }
}

function groupsOf(loop) {
  if (loop.groups) return loop.groups;
  const groups = new Map();
  for (let lane = 0; lane < loop.tasks.coro.length; lane++) {
    const coro = loop.tasks.coro[lane];
    const group = groups.get(coro);
    if (group) group.lanes.push(lane);
    else groups.set(coro, { coro, lanes: [lane] });
  }
  for (const group of groups.values()) {
    group.loop = loop;
    for (const name of ["busy", "waiting", "held", "steps"]) {
      group[name] = 0;
      for (const lane of group.lanes) group[name] += loop.tasks[name][lane];
    }
  }
  loop.groupOf = new Map();
  for (const group of groups.values()) for (const lane of group.lanes) loop.groupOf.set(lane, group);
  return (loop.groups = [...groups.values()]);
}

function addGroups(rows, loop) {
  for (const group of groupsOf(loop)) {
    if (group.lanes.length === 1) {
      rows.push(taskRow(loop, group.lanes[0], 0));
      continue;
    }
    const key = `${loop.number}:g${group.coro}`, open = app.opened.has(key);
    rows.push({ type: "group", loop, lane: -3, depth: 0, key, group, parent: true, open });
    if (open) for (const lane of group.lanes) rows.push(taskRow(loop, lane, 1));
  }
}

function addMatches(rows, loop) {
  const wanted = app.filter.toLowerCase(), { strings } = app.model, { name, coro } = loop.tasks;
  for (let lane = 0; lane < name.length; lane++) {
    if (!strings[name[lane]].toLowerCase().includes(wanted) && !strings[coro[lane]].toLowerCase().includes(wanted)) continue;
    rows.push(taskRow(loop, lane, 0));
    app.matches++;
  }
}

function groupName(group) {
  return app.model.strings[group.coro] || "tasks of unknown coroutines";
}

/** Heights: as much as there is room for when all fit, thin (but all at once) up to some 150, else readable. */
function measureRows() {
  const fixed = { loop: STRIP, group: GROUP };
  let lanes = 0, taken = AXIS + 8;
  for (const row of app.rows)
    if (fixed[row.type]) taken += fixed[row.type];
    else lanes++;
  const room = (byId("scroller").clientHeight || 600) - taken;
  const fitting = Math.floor(room / Math.max(1, lanes));
  app.size = app.wantedSize || Math.max(lanes <= GROUP_FROM + 20 ? SMALLEST : 18, Math.min(LARGEST, fitting));
  let top = 0, index = 0, section = null;
  for (const row of app.rows) {
    if (row.type === "loop") {
      row.loop.row = row;
      row.loop.nextRow = null;
      if (section) section.nextRow = row;
      section = row.loop;
    }
    row.index = index++;
    row.top = top;
    row.height = fixed[row.type] ?? (row.type === "task" ? app.size : Math.max(app.size, 14));
    top += row.height;
  }
  app.height = top + 8;
  app.laneRow = null;
}

/** Index of the row at a height (px from the first row's top). */
function rowAt(y) {
  let from = 0, to = app.rows.length;
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (app.rows[middle].top + app.rows[middle].height <= y) from = middle + 1;
    else to = middle;
  }
  return from;
}

function rowOfKey(key) {
  app.laneRow ??= new Map(app.rows.map((row) => [row.key, row.index]));
  return app.laneRow.get(key) ?? -1;
}

const workerRow = (loop, worker) => rowOfKey(`${loop.number}:w${worker}`);

/** The row where a task's (or the callbacks') lane is to be seen: its own, or the one into which it is folded. */
function rowOf(loop, lane) {
  const own = rowOfKey(lane < 0 ? `${loop.number}:callbacks` : `${loop.number}:${lane}`);
  if (own >= 0 || lane < 0) return own;
  if (app.grouped && !app.filter) {
    groupsOf(loop);
    return rowOfKey(`${loop.number}:g${loop.groupOf.get(lane).coro}`);
  }
  for (let up = loop.tasks.parent[lane]; up >= 0; up = loop.tasks.parent[up]) {
    const above = rowOfKey(`${loop.number}:${up}`);
    if (above >= 0) return above;
  }
  return -1;
}

function toggleRow(row, open = !row.open) {
  if (!row.parent || row.open === open) return;
  if (row.type === "group") app.opened[open ? "add" : "delete"](row.key);
  else app.folded[open ? "delete" : "add"](row.key);
  rebuild(row.key);
}

/** Make the rows anew and keep the selected one. */
function rebuild(key = app.rows[app.row]?.key) {
  buildRows();
  app.row = rowOfKey(key);
  byId("spacer").style.height = `${Math.max(0, app.height + AXIS - byId("scroller").clientHeight)}px`;
  refresh();
}

/** Bring a task's lane into the list: unfold its group or parents, end a search that hides it. */
function reveal(loop, lane) {
  if (lane >= 0 && app.filter && rowOf(loop, lane) < 0) setFilter("");
  if (lane >= 0 && app.grouped && !app.filter) {
    groupsOf(loop);
    const group = loop.groupOf.get(lane);
    const key = `${loop.number}:g${group.coro}`;
    if (group.lanes.length > 1 && !app.opened.has(key)) {
      app.opened.add(key);
      rebuild();
    }
  } else if (lane >= 0 && !app.filter) {
    let folded = false;
    for (let up = loop.tasks.parent[lane]; up >= 0; up = loop.tasks.parent[up])
      folded = app.folded.delete(`${loop.number}:${up}`) || folded;
    if (folded) rebuild();
  }
  return rowOf(loop, lane);
}
