// Copyright 2026 The tracker_nodes authors
// SPDX-License-Identifier: Apache-2.0
'use strict';

const MINUTE = 60; // seconds that the line of a score covers
const SCORE_INTERVAL = 0.2; // seconds between two points of it
const LEAST_DRAG = 4; // CSS pixels; less is a click
const MOST_ZOOM = 16;
const KEPT_NOTICES = 6;
const COLOURS = ['#58c4f5', '#ffd166', '#8ce99a', '#f783ac', '#b197fc', '#ffa94d', '#63e6be', '#e599f7'];

const element = (id) => document.getElementById(id);
const canvas = element('canvas');
const context = canvas.getContext('2d');

let socket = null;
let retry = 0.5; // seconds until the next attempt to connect
let state = null; // the newest of the server
let shown = null; // {bitmap, header}: the picture that is to be seen
let newest = null; // the same, of the newest picture
let newestNumber = 0; // in this connection
let isFrozen = false;
let drawing = null; // [x, y, x, y] in the image: where the box began, and the pointer
let selected = ''; // id of a target
let view = {zoom: 1, x: 0.5, y: 0.5}; // the image's point, in shares, that is in the middle
let scores = new Map(); // id: [time, score, status] ...
let isSeeking = false; // a frame of a recording is on its way
let wantedFrame = 0;
let askedFrame = 0;
let localNotices = []; // [time, is_error, text]
const pointers = new Map(); // id: {x, y} on the canvas, in CSS pixels
let pinch = null; // {distance, zoom}

// The link

function connect() {
  const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
  socket = new WebSocket(`${scheme}://${location.host}/socket`);
  socket.binaryType = 'arraybuffer';
  socket.onopen = () => {
    retry = 0.5;
    newestNumber = 0; // another server counts anew
  };
  socket.onmessage = (event) => {
    if (typeof event.data === 'string') onText(JSON.parse(event.data));
    else onPicture(event.data);
  };
  socket.onclose = (event) => {
    cover(event.reason ? `The connection has ended: ${event.reason}. Trying again ...` : 'No connection to the robot. Trying again ...');
    setTimeout(connect, 1000 * retry);
    retry = Math.min(2 * retry, 5);
  };
}

function send(request) {
  if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(request));
  else note(true, 'There is no connection: nothing was sent.');
}

function onText(message) {
  if (message.kind === 'answer') {
    if (!message.success) {
      isSeeking = false;
      wantedFrame = askedFrame;
    }
    note(!message.success, message.message);
  }
  if (message.kind === 'scores') {
    const now = performance.now() / 1000;
    scores = new Map(Object.entries(message.scores).map(
      ([id, line]) => [id, line.map(([age, score, status]) => [now - age, score, status])]));
  }
  if (message.kind === 'state') {
    state = message;
    noteScores();
    showState();
    if (!shown) cover(state.problem || 'Waiting for the first picture ...');
  }
}

async function onPicture(data) {
  const from = socket;
  const length = new DataView(data).getUint32(0);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  let bitmap;
  try {
    bitmap = await createImageBitmap(new Blob([new Uint8Array(data, 4 + length)], {type: 'image/jpeg'}));
  } catch (error) {
    note(true, 'A picture could not be read.');
    send({kind: 'seen', number: header.number, width: wantedWidth()});
    return;
  }
  // Another one was decoded faster (who sees a picture has seen those before it), or the connection has ended meanwhile
  if (newestNumber > header.number || from.readyState !== WebSocket.OPEN) {
    bitmap.close();
    return;
  }
  newestNumber = header.number;
  if (newest && newest !== shown) newest.bitmap.close();
  newest = {bitmap, header};
  sought();
  if (!isFrozen && !drawing) showNewest();
  requestAnimationFrame(() => {
    draw();
    if (socket.readyState === WebSocket.OPEN) send({kind: 'seen', number: header.number, width: wantedWidth()});
  });
}

function showNewest() {
  if (shown && shown !== newest) shown.bitmap.close();
  shown = newest;
  if (shown) cover('');
}

function wantedWidth() {
  // Only as many pixels as are to be seen
  return Math.min(Math.ceil(canvas.width * view.zoom), 8192);
}

// Geometry: the image lies in the canvas' middle, as large as it can be, times the zoom

function placement() {
  const {width, height} = shown.header;
  const scale = Math.min(canvas.width / width, canvas.height / height) * view.zoom; // device pixels an image pixel
  return {scale, left: canvas.width / 2 - view.x * width * scale, top: canvas.height / 2 - view.y * height * scale};
}

function toImage(x, y) {
  const ratio = canvas.width / canvas.clientWidth;
  const {scale, left, top} = placement();
  return [(x * ratio - left) / scale, (y * ratio - top) / scale];
}

function inside([x, y]) {
  const {width, height} = shown.header;
  return [Math.min(Math.max(x, 0), width), Math.min(Math.max(y, 0), height)];
}

function zoomTo(zoom, x, y) {
  // The point of the image under (x, y) stays there
  if (!shown) return;
  const before = toImage(x, y);
  view.zoom = Math.min(Math.max(zoom, 1), MOST_ZOOM);
  const after = toImage(x, y);
  const {width, height} = shown.header;
  view.x += (before[0] - after[0]) / width;
  view.y += (before[1] - after[1]) / height;
  if (view.zoom === 1) view = {zoom: 1, x: 0.5, y: 0.5};
  draw();
}

// Drawing

function draw() {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  context.clearRect(0, 0, width, height);
  if (!shown) return;
  const {scale, left, top} = placement();
  context.imageSmoothingEnabled = scale < 4;
  context.drawImage(shown.bitmap, left, top, shown.header.width * scale, shown.header.height * scale);
  context.font = `${13 * ratio}px system-ui, sans-serif`;
  context.textBaseline = 'bottom';
  for (const target of shown.header.targets) drawTarget(target, scale, left, top, ratio);
  if (drawing) {
    const [x, y, w, h] = drawnBox();
    context.setLineDash([6 * ratio, 4 * ratio]);
    context.lineWidth = 2 * ratio;
    context.strokeStyle = '#fff';
    context.strokeRect(left + x * scale, top + y * scale, w * scale, h * scale);
    context.setLineDash([]);
  }
}

function drawTarget(target, scale, left, top, ratio) {
  const [x, y, w, h] = [target.box[0] * scale + left, target.box[1] * scale + top, target.box[2] * scale, target.box[3] * scale];
  const isLost = target.status === 'LOST';
  context.strokeStyle = isLost ? '#ccc' : colour(target.id);
  context.lineWidth = (target.id === selected ? 4 : 2) * ratio;
  context.setLineDash(isLost ? [2 * ratio, 6 * ratio] : target.status === 'UNCERTAIN' ? [10 * ratio, 5 * ratio] : []);
  context.strokeRect(x, y, w, h);
  context.setLineDash([]);
  const text = state && state.recording ? target.id : isLost ? `${target.id}: lost` : `${target.id} ${Math.round(100 * target.score)} %`;
  const width = context.measureText(text).width + 8 * ratio;
  const line = 18 * ratio;
  const above = y >= line ? y : Math.min(y + h + line, canvas.height);
  context.fillStyle = '#000b';
  context.fillRect(x, above - line, width, line);
  context.fillStyle = context.strokeStyle;
  context.fillText(text, x + 4 * ratio, above - 2 * ratio);
}

function drawScore(small, id) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [small.width, small.height] = [Math.round(small.clientWidth * ratio), Math.round(small.clientHeight * ratio)];
  const pen = small.getContext('2d');
  const now = performance.now() / 1000;
  const line = scores.get(id) || [];
  pen.lineWidth = 1.5 * ratio;
  const place = ([time, score]) => [width * (1 - (now - time) / MINUTE), (height - 2 * ratio) * (1 - score) + ratio];
  for (let i = 1; i < line.length; ++i) {
    const isGap = line[i][0] - line[i - 1][0] > 2;
    if (isGap) continue;
    pen.strokeStyle = line[i][2] === 'TRACKING' ? colour(id) : line[i][2] === 'UNCERTAIN' ? '#ffa94d' : '#ff7a6b';
    pen.beginPath();
    pen.moveTo(...place(line[i - 1]));
    pen.lineTo(...place(line[i]));
    pen.stroke();
  }
}

function colour(id) {
  let sum = 0;
  for (const letter of id) sum = (31 * sum + letter.charCodeAt(0)) % 9973;
  return COLOURS[sum % COLOURS.length];
}

// The panel

function noteScores() {
  const now = performance.now() / 1000;
  for (const target of state.targets) {
    if (!scores.has(target.id)) scores.set(target.id, []);
    const line = scores.get(target.id);
    if (!line.length || now - line[line.length - 1][0] >= SCORE_INTERVAL) line.push([now, target.score, target.status]);
    while (line.length && line[0][0] < now - MINUTE) line.shift();
  }
  const names = new Set(state.targets.map((target) => target.id));
  for (const id of scores.keys()) if (!names.has(id)) scores.delete(id);
}

function showState() {
  const film = state.recording;
  element('film').hidden = !film;
  for (const id of ['pause', 'freeze']) element(id).hidden = Boolean(film);
  document.body.classList.toggle('recorded', Boolean(film));
  if (film) showFilm(film);
  pressed('pause', state.paused, state.paused ? 'Resume' : 'Pause');
  const problem = element('problem');
  problem.hidden = !state.problem;
  if (problem.textContent !== state.problem) problem.textContent = state.problem;
  showFigures([
    ['tracker', `${state.tracker} ${state.preset}`.trim()],
    ...(film ? [] : [
      ['rate', `${state.rate.toFixed(1)} / s`],
      ['latency', `${(1000 * state.latency).toFixed(0)} ms`],
      ['dropped images', String(state.dropped)],
    ]),
  ]);
  showChoices();
  showTargets();
  showNotices();
}

function showFilm(film) {
  const slider = element('frame');
  slider.max = String(film.length - 1);
  if (document.activeElement !== slider) slider.value = String(film.frame);
  const given = film.given.length ? `, box in ${film.given.join(', ')}` : '';
  element('frame-number').textContent = film.progress === null
    ? `${film.frame} of ${film.length}${given}` : `${Math.round(100 * film.progress)} %`;
  element('finish').disabled = film.progress !== null || !film.given.length;
}

function showFigures(figures) {
  const list = element('figures');
  while (list.children.length > 2 * figures.length) list.lastChild.remove();
  figures.forEach(([name, value], i) => {
    if (!list.children[2 * i]) list.append(document.createElement('dt'), document.createElement('dd'));
    list.children[2 * i].textContent = name;
    list.children[2 * i + 1].textContent = value;
  });
}

function showChoices() {
  const names = Object.keys(state.choices);
  element('choice').hidden = !names.length;
  const [trackers, presets] = [element('tracker'), element('preset')];
  if (!names.length || document.activeElement === trackers || document.activeElement === presets) return;
  if (element('choose').dataset.touched) return;
  options(trackers, names, state.tracker);
  options(presets, state.choices[state.tracker] || [], state.preset);
  element('choose').disabled = true;
}

function options(list, names, chosen) {
  const same = list.options.length === names.length && names.every((name, i) => list.options[i].value === name);
  if (!same) list.replaceChildren(...names.map((name) => new Option(name, name)));
  if (names.includes(chosen)) list.value = chosen;
}

function showTargets() {
  const list = element('targets');
  const targets = state.targets;
  const known = newest ? [...targets, ...newest.header.targets] : targets; // a picture may be ahead of the state
  if (selected && !known.some((target) => target.id === selected)) select('');
  const rows = new Map([...list.children].map((row) => [row.dataset.id, row]));
  for (const [id, row] of rows) if (!targets.some((target) => target.id === id)) row.remove();
  for (const target of targets) {
    const row = rows.get(target.id) || newRow(target.id);
    if (!row.parentNode) list.append(row);
    row.setAttribute('aria-current', String(target.id === selected));
    row.querySelector('.name').textContent = target.label === 'target' || !target.label ? target.id : `${target.label} (${target.id})`;
    row.querySelector('.state').textContent = state.recording ? '' : `${target.status.toLowerCase()} ${Math.round(100 * target.score)} %`;
    drawScore(row.querySelector('canvas'), target.id);
  }
}

function newRow(id) {
  const row = document.createElement('li');
  row.dataset.id = id;
  row.tabIndex = 0;
  row.style.setProperty('--colour', colour(id));
  const parts = ['span', 'span', 'button', 'canvas'].map((tag) => document.createElement(tag));
  parts[0].className = 'name';
  parts[1].className = 'state';
  parts[2].type = 'button';
  parts[2].textContent = '✕';
  parts[2].setAttribute('aria-label', `Stop following ${id}`);
  parts[2].onclick = (event) => { event.stopPropagation(); send({kind: 'remove', id}); };
  row.append(...parts);
  row.onclick = () => (state.recording ? seek(Number(id.split(' ')[1])) : select(selected === id ? '' : id));
  row.onkeydown = (event) => { if (event.key === 'Enter' && event.target === row) row.onclick(); };
  return row;
}

function showNotices() {
  const all = [...(state ? state.notices : []), ...localNotices].sort((a, b) => a[0] - b[0]).slice(-KEPT_NOTICES).reverse();
  element('notices').replaceChildren(...all.map(([time, isError, text]) => {
    const item = document.createElement('li');
    item.className = isError ? 'bad' : '';
    item.textContent = `${new Date(1000 * time).toLocaleTimeString()}  ${text}`;
    return item;
  }));
}

function note(isError, text) {
  if (!text) return;
  localNotices.push([Date.now() / 1000, isError, text]);
  localNotices = localNotices.slice(-KEPT_NOTICES);
  showNotices();
}

function cover(text) {
  element('cover').textContent = text;
  element('cover').hidden = !text;
}

function pressed(id, isPressed, text) {
  element(id).setAttribute('aria-pressed', String(isPressed));
  element(id).textContent = text;
}

function hint() {
  const parts = [];
  if (isFrozen) parts.push('frozen: draw on this picture');
  if (selected) parts.push(`draw where ${selected} is: it moves there`);
  element('hint').textContent = parts.join(' · ');
}

function select(id) {
  selected = id;
  hint();
  if (state) showTargets();
  draw();
}

function freeze(isNow) {
  isFrozen = isNow;
  pressed('freeze', isFrozen, isFrozen ? 'Go on' : 'Freeze');
  if (!isFrozen && newest) showNewest();
  hint();
  draw();
}

// Pointer and keys

function drawnBox() {
  const [x0, y0, x1, y1] = drawing;
  return [Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0)];
}

function cancel() {
  drawing = null;
  if (!isFrozen && newest) showNewest();
  draw();
}

canvas.onpointerdown = (event) => {
  if (!shown || event.button > 0) return;
  try { canvas.setPointerCapture(event.pointerId); } catch (error) { /* it is gone already */ }
  pointers.set(event.pointerId, {x: event.offsetX, y: event.offsetY});
  if (pointers.size === 1) {
    const [x, y] = inside(toImage(event.offsetX, event.offsetY));
    drawing = [x, y, x, y]; // the picture stands still from now on
  } else if (pointers.size === 2) {
    drawing = null;
    const [a, b] = [...pointers.values()];
    pinch = {distance: Math.hypot(a.x - b.x, a.y - b.y), zoom: view.zoom};
  }
  draw();
};

canvas.onpointermove = (event) => {
  if (!pointers.has(event.pointerId)) return;
  pointers.set(event.pointerId, {x: event.offsetX, y: event.offsetY});
  if (pinch && pointers.size === 2) {
    const [a, b] = [...pointers.values()];
    const distance = Math.hypot(a.x - b.x, a.y - b.y);
    zoomTo(pinch.zoom * distance / Math.max(pinch.distance, 1), (a.x + b.x) / 2, (a.y + b.y) / 2);
  } else if (drawing) {
    drawing.splice(2, 2, ...inside(toImage(event.offsetX, event.offsetY)));
    draw();
  }
};

canvas.onpointerup = (event) => {
  pointers.delete(event.pointerId);
  if (pointers.size < 2) pinch = null;
  if (!drawing) return;
  drawing.splice(2, 2, ...inside(toImage(event.offsetX, event.offsetY)));
  const box = drawnBox();
  const size = Math.max(box[2], box[3]) * placement().scale / (canvas.width / canvas.clientWidth);
  if (size < LEAST_DRAG) pick(drawing);
  else {
    const label = element('label').value.trim();
    send({kind: 'start', box, stamp: shown.header.stamp, id: selected, ...(label && {label})});
    if (selected) select('');
  }
  cancel();
};

canvas.onpointercancel = (event) => {
  pointers.delete(event.pointerId);
  pinch = null;
  cancel();
};

canvas.addEventListener('wheel', (event) => {
  event.preventDefault();
  zoomTo(view.zoom * Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY);
}, {passive: false});

function pick([x, y]) {
  if (state && state.recording) return; // a box is drawn anew there
  const hit = shown.header.targets
    .filter(({box}) => x >= box[0] && y >= box[1] && x <= box[0] + box[2] && y <= box[1] + box[3])
    .sort((a, b) => a.box[2] * a.box[3] - b.box[2] * b.box[3]);
  select(hit.length && hit[0].id !== selected ? hit[0].id : '');
}

document.addEventListener('keydown', (event) => {
  const isTyping = ['INPUT', 'SELECT', 'TEXTAREA'].includes(event.target.tagName);
  if (event.key === 'Escape') {
    event.target.blur();
    if (drawing) cancel();
    else if (selected) select('');
    else if (isFrozen) freeze(false);
  }
  if (event.key === 'Enter' && event.target === element('label')) canvas.focus();
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === ' ') {
    event.preventDefault(); // a button that has the focus would be pressed, too
    if (!element('freeze').hidden) freeze(!isFrozen);
  } else if (event.key === 'Delete' || event.key === 'Backspace') {
    const only = state && state.targets.length === 1 ? state.targets[0].id : '';
    if (selected || only) send({kind: 'remove', id: selected || only});
  } else if (event.key === 'ArrowLeft' || event.key === 'ArrowRight') {
    if (shown) seek(Number(shown.header.stamp) + (event.key === 'ArrowLeft' ? -1 : 1) * (event.shiftKey ? 10 : 1));
  } else if (event.key === 'p' || event.key === 'P') {
    element('pause').click();
  }
});
document.addEventListener('keyup', (event) => {
  if (event.key === ' ' && event.target.tagName === 'BUTTON') event.preventDefault();
});

element('freeze').onclick = () => freeze(!isFrozen);
element('pause').onclick = () => state && !state.recording && send({kind: 'pause', paused: !state.paused});
element('reset').onclick = () => send({kind: 'reset'});
element('tracker').onchange = () => {
  options(element('preset'), state.choices[element('tracker').value] || [], '');
  element('preset').selectedIndex = 0;
  touched();
};
element('preset').onchange = touched;

function touched() {
  const isOther = element('tracker').value !== state.tracker || element('preset').value !== state.preset;
  element('choose').disabled = !isOther;
  element('choose').dataset.touched = isOther ? 'yes' : '';
}

element('choose').onclick = () => {
  const count = state.targets.length;
  if (count && !confirm('What is being followed now is forgotten. Go on?')) return;
  send({kind: 'choose', tracker: element('tracker').value, preset: element('preset').value});
  element('choose').dataset.touched = '';
  element('choose').disabled = true;
};

function seek(frame) {
  // One at a time; of those that come meanwhile the last one counts
  const film = state && state.recording;
  if (!film) return;
  wantedFrame = Math.min(Math.max(frame, 0), film.length - 1);
  element('frame').value = String(wantedFrame);
  if (isSeeking) return;
  isSeeking = true;
  askedFrame = wantedFrame;
  send({kind: 'seek', frame: askedFrame});
}

function sought() {
  isSeeking = false;
  if (wantedFrame !== askedFrame) seek(wantedFrame);
}

element('frame').oninput = () => seek(Number(element('frame').value));
element('frame').onchange = () => element('frame').blur();
element('finish').onclick = () => send({kind: 'finish'});

new ResizeObserver(draw).observe(canvas);
connect();
