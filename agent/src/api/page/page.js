"use strict";
// The device's page. It asks the routes that programs may ask too; nothing comes from anywhere else.

const STATUS_MS = 2000, ANSWER_MS = 8000, HISTORY_MS = 10000, LIVE_FPS = 10, SPAN_MS = 15 * 60 * 1000;
const $ = (id) => document.getElementById(id);
let token = "", inferred = new Map(), stale = new Set(), away = false;

/** An element with text or children. */
function make(tag, options = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(options)) {
    if (key === "class") made.className = value;
    else if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

class Refused extends Error {
  constructor(status, message) {
    super(message || `answer ${status}`);
    this.status = status;
  }
}

/** Asks for JSON. What only shows something is given up after ANSWER_MS, and asked again. */
async function ask(path, options = { signal: AbortSignal.timeout(ANSWER_MS) }) {
  const answer = await fetch(path, options);
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(answer.status, body.error);
  return body;
}

const number = (value, digits = 1, unit = "") => (value === null || value === undefined ? "–" : value.toFixed(digits) + unit);
const release = (one) => (one ? `${one.version}` : "–");

/** Shows children keyed by name, and keeps those that are there: a picture must not begin anew. */
function keep(parent, items, key, build, update) {
  const there = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  for (const item of items) {
    const name = key(item);
    let child = there.get(name);
    if (!child) {
      child = build(item);
      child.dataset.key = name;
      parent.append(child);
    }
    there.delete(name);
    update(child, item);
  }
  for (const gone of there.values()) gone.remove();
}

function figures(pairs) {
  return make("dl", { class: "figures" }, ...pairs.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

// A browser keeps six connections to one device, and a device shows few streams at one time: of many pipelines
// pictures are asked for one by one.
const STREAMS_MAX = 3, PICTURE_MS = 1000, STALE_MS = 30000;
let streams = true;

function liveSource(name) {
  const what = streams ? `live.mjpg?fps=${LIVE_FPS}&` : "frame.jpg?";
  return `v1/pipelines/${encodeURIComponent(name)}/${what}at=${Date.now()}`;
}

/** A stream ends where there were no pictures for long, or nobody took any; browsers do not tell. */
function renew(card) {
  const picture = card.querySelector("img");
  if (picture) picture.src = liveSource(card.dataset.key);
}

function renewAll() {
  for (const card of $("pipelines").children) renew(card);
}

function pipelineCard(one) {
  if (!one.pictures) return make("article", { class: "card" }, make("h3", {}, one.name), make("div", {}));
  const picture = make("img", { alt: `What pipeline ${one.name} sees, with what was found drawn in`, src: liveSource(one.name) });
  const card = make("article", { class: "card" }, make("h3", {}, one.name), picture, make("div", {}));
  // A stream that broke, because the daemon began anew or the camera was gone, is asked for again.
  const again = () => renew(card);
  picture.addEventListener("error", () => setTimeout(again, 3 * PICTURE_MS));
  picture.addEventListener("load", () => { if (!streams) setTimeout(again, PICTURE_MS); });
  return card;
}

function pipelineUpdate(card, one, slow) {
  const before = inferred.get(one.name), now = performance.now();
  const fps = before && one.inferred >= before.count ? ((one.inferred - before.count) * 1000) / (now - before.at) : null;
  inferred.set(one.name, { count: one.inferred, at: now });
  const fresh = !one.paused && one.last_inferred_ms !== null && one.last_inferred_ms < STALE_MS;
  if (!fresh) stale.add(one.name);
  else if (stale.delete(one.name)) renew(card);
  const state = one.paused ? "paused" : one.last_inferred_ms === null ? "no frame yet" : `last frame ${(one.last_inferred_ms / 1000).toFixed(1)} s ago`;
  const recent = one.recent;
  const why = slow.find((found) => found.pipeline === one.name)?.why;
  card.lastChild.replaceChildren(
    figures([
      ["frames a second", number(fps)],
      ["run, mean", number(one.steps.inference_ms, 0, " ms")],
      ["latency, p50", number(recent?.p50_ms, 0, " ms")],
      ["latency, p95", number(recent?.p95_ms, 0, " ms")],
      ["replaced lately", recent ? `${recent.replaced} of ${recent.inferred + recent.replaced}` : "–"],
      ["failed", String(one.failed)],
    ]),
    make("p", { class: "soft" }, `${one.model} · ${state}`),
    make("p", { class: why ? "warn" : "good" }, why ? `Slow: ${why}` : "Not slow"),
  );
}

function modelCard(one) {
  const button = make("button", { type: "button" }, `Roll back ${one.slot}`);
  button.addEventListener("click", () => rollBack(one.slot));
  // The button stays the same one, so that who is on it is not put elsewhere.
  return make("article", { class: "card" }, make("div", {}), button);
}

function modelUpdate(card, one) {
  const lines = [make("h3", {}, one.slot), figures([
    ["committed", one.installed ? release(one.installed) : "factory model"],
    ["previous", release(one.previous)],
    ["phase", one.phase],
  ])];
  if (one.offered) lines.push(make("p", {}, `In trial or on its way: ${release(one.offered)}, ${one.progress_bytes} of ${one.total_bytes} bytes`));
  if (one.refused) lines.push(make("p", { class: "bad" }, `Refused: ${one.refused.version ?? ""} ${one.refused.reason ?? JSON.stringify(one.refused)}`));
  if (one.trouble) lines.push(make("p", { class: "warn" }, one.trouble));
  card.firstChild.replaceChildren(...lines);
  card.lastChild.disabled = !one.installed;
}

/** Asks the person for the token, once; nothing where it is not given. */
function askToken(slot) {
  const dialog = $("token-dialog"), field = $("token");
  $("token-title").textContent = `Roll back ${slot}`;
  field.value = "";
  dialog.showModal();
  return new Promise((given) => {
    $("token-form").onsubmit = (event) => {
      event.preventDefault();
      given(field.value.trim());
      dialog.close();
    };
    $("token-cancel").onclick = () => dialog.close();
    // However it was closed: what was given first counts.
    dialog.onclose = () => {
      field.value = "";
      given("");
    };
  });
}

async function rollBack(slot) {
  token = token || (await askToken(slot));
  if (!token) return;
  $("asked").textContent = `asking for the release before of ${slot} …`;
  try {
    // As long as it takes: what was begun goes on, whether somebody waits for it or not.
    const done = await ask(`v1/models/${encodeURIComponent(slot)}/rollback`, { method: "POST", headers: { Authorization: `Bearer ${token}` } });
    $("asked").textContent = done.lines.join("; ");
  } catch (error) {
    // A token that was not refused is asked for once.
    if (error.status === 401 || error.status === 403) token = "";
    $("asked").textContent = error.status === 408 ? `${slot}: not done yet; it goes on, and is seen above once it is done` : `Not rolled back: ${error.message}`;
  }
}

const CHARTS = [
  ["gpu_percent", "GPU", 100, (v) => number(v, 0, " %")],
  ["cpu_percent", "Processor", 100, (v) => number(v, 0, " %")],
  ["hottest_c", "Hottest", 110, (v) => number(v, 1, " °C")],
  ["power_mw", "Power", null, (v) => number(v === null ? null : v / 1000, 1, " W")],
  ["memory_used_percent", "Memory in use", 100, (v) => number(v, 0, " %")],
  ["fan_percent", "Fan", 100, (v) => number(v, 0, " %")],
];

const SVG = "http://www.w3.org/2000/svg";
function drawn(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function chart(card, [key, name, top, say], points) {
  const known = points.filter((point) => point[key] !== null);
  const last = known.length ? known[known.length - 1][key] : null;
  const end = points.length ? points[points.length - 1].at_ms : 0, most = top ?? Math.max(1, ...known.map((point) => point[key])) * 1.1;
  const x = (at) => (1000 * (at - end + SPAN_MS)) / SPAN_MS, y = (value) => 100 - (100 * Math.min(value, most)) / most;
  const figure = drawn("svg", { class: "chart", viewBox: "0 0 1000 100", preserveAspectRatio: "none", role: "img", "aria-label": `${name}: ${say(last)} now` });
  // Bands where something throttled the clocks.
  for (const point of points.filter((one) => one.throttled)) figure.append(drawn("rect", { x: x(point.at_ms) - 6, y: 0, width: 6, height: 100 }));
  const line = known.map((point, index) => `${index ? "L" : "M"}${x(point.at_ms).toFixed(1)} ${y(point[key]).toFixed(1)}`).join("");
  if (line) figure.append(drawn("path", { d: line }));
  card.replaceChildren(make("h3", {}, `${name}: ${say(last)}`), figure);
}

async function showHistory() {
  const { points } = await ask("v1/history");
  const told = CHARTS.filter(([key]) => points.some((point) => point[key] !== null));
  keep($("charts"), told, ([key]) => key, () => make("article", { class: "card" }), (card, one) => chart(card, one, points));
  if (!told.length) $("charts").replaceChildren(make("p", { class: "soft" }, "Nothing yet: the board is not watched, or was not sampled."));
}

function showLinks(status) {
  const broker = status.broker, rows = [];
  rows.push(["Broker", broker ? (broker.connected ? "connected" : "away: what must arrive is kept") : "none configured"]);
  if (broker) rows.push(["Waiting", `${broker.records_waiting} records, ${broker.bytes_waiting} bytes${broker.oldest_age_s === null ? "" : `, the oldest ${broker.oldest_age_s} s old`}`]);
  rows.push(["Fleet", status.releases_broken ?? (status.releases.length ? status.releases.map((one) => `${one.slot}: ${one.trouble ?? "no trouble"}`).join("; ") : "no model takes releases")]);
  $("links").replaceChildren(...rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

function showAlarms(alarms) {
  const active = alarms.filter((alarm) => alarm.active);
  const say = (alarm) => [alarm.alarm, alarm.subject, alarm.value === null ? null : `${alarm.value} ${alarm.unit ?? ""}`].filter(Boolean).join(" · ");
  const items = active.length ? active.map((alarm) => make("li", { class: "bad" }, say(alarm))) : [make("li", { class: "good" }, "None")];
  $("alarms").replaceChildren(...items);
}

async function showStatus() {
  const [status, slow, log] = await Promise.all([ask("v1/status"), ask("v1/slow"), ask("v1/log")]);
  if (away) {
    // The daemon began anew: its streams too.
    renewAll();
    away = false;
  }
  $("board").textContent = status.board?.board?.model ?? status.board?.board?.kind ?? "";
  $("state").className = status.ready ? "good" : "bad";
  $("state").textContent = status.ready ? `ready, up for ${Math.round(status.uptime_ms / 60000)} min, version ${status.agent_version}` : `not ready: ${status.reasons.join("; ")}`;
  streams = status.pipelines.length <= STREAMS_MAX;
  keep($("pipelines"), status.pipelines, (one) => one.name, pipelineCard, (card, one) => pipelineUpdate(card, one, slow));
  keep($("models"), status.releases, (one) => one.slot, modelCard, modelUpdate);
  if (!status.releases.length) $("models").replaceChildren(...status.engines.map((one) => make("article", { class: "card" }, make("h3", {}, `${one.model} ${one.version}`), make("p", { class: "soft" }, `on ${one.provider}; takes no releases`))));
  showAlarms(status.alarms);
  showLinks(status);
  $("log").replaceChildren(...(log.lines.length ? log.lines : ["None"]).map((line) => make("li", {}, line)));
}

/** Does it again and again, one at a time; a device that is away is asked on. */
function repeat(act, period) {
  const turn = async () => {
    try {
      if (!document.hidden) await act();
    } catch (error) {
      away = true;
      $("state").className = "bad";
      $("state").textContent = `the device does not answer (${error.message}); asking on`;
    }
    setTimeout(turn, period);
  };
  turn();
}

document.addEventListener("visibilitychange", () => { if (!document.hidden) renewAll(); });
repeat(showStatus, STATUS_MS);
repeat(showHistory, HISTORY_MS);
