"use strict";

// How long ago a time was, from second to second; the exact time stays as the element's title.
const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
const AGES = new Set();
setInterval(() => AGES.forEach((each) => each.tell()), 1000);

customElements.define("age-of", class extends HTMLElement {
  connectedCallback() {
    AGES.add(this);
    this.tell();
  }

  disconnectedCallback() {
    AGES.delete(this);
  }

  tell() {
    const time = this.querySelector("time");
    if (!time) return;
    const seconds = Math.round((Date.now() - Date.parse(time.dateTime)) / 1000);
    const ahead = seconds < 0;
    const [size, name] = UNITS.find(([size]) => Math.abs(seconds) >= size) ?? [1, "s"];
    const text = `${Math.floor(Math.abs(seconds) / size)} ${name}`;
    const told = ahead ? `in ${text}` : `${text} ago`;
    if (time.textContent !== told) time.textContent = told;
  }
});

// A text to take away: with a button where the browser allows it.
customElements.define("copy-text", class extends HTMLElement {
  connectedCallback() {
    if (!navigator.clipboard || this.querySelector("button")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = this.getAttribute("label");
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(this.querySelector("code").textContent);
      button.textContent = this.getAttribute("done");
    });
    this.append(button);
  }
});

// A key that nobody else has seen, put where [data-key] is.
customElements.define("fresh-key", class extends HTMLElement {
  connectedCallback() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    const key = [...bytes].map((each) => each.toString(16).padStart(2, "0")).join("");
    this.querySelectorAll("[data-key]").forEach((each) => { each.textContent = key; });
  }
});

// A line with a band: the mean of each part of the time, from its smallest to its greatest value.
customElements.define("value-chart", class extends HTMLElement {
  async connectedCallback() {
    this.setAttribute("role", "img");
    this.setAttribute("aria-label", this.getAttribute("label"));
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.redraw = () => this.draw();
    this.dark.addEventListener("change", this.redraw);
    this.resizing = new ResizeObserver(() => this.plot?.setSize({width: this.clientWidth, height: 300}));
    this.resizing.observe(this);
    try {
      const answer = await fetch(this.getAttribute("src"), {headers: {"HX-Request": "true"}});
      if (!answer.ok) throw new Error(answer.statusText);
      this.data = await answer.json();
    } catch {
      this.textContent = this.getAttribute("failed");
      return;
    }
    this.draw();
  }

  disconnectedCallback() {
    this.dark.removeEventListener("change", this.redraw);
    this.resizing.disconnect();
    this.plot?.destroy();
  }

  draw() {
    if (!this.data) return;
    this.plot?.destroy();
    this.dataset.points = this.data.times.length;
    if (!this.data.times.length || !globalThis.uPlot) {
      this.textContent = this.getAttribute("nothing");
      return;
    }
    this.textContent = "";
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = {stroke: colour("--faint"), grid: {stroke: colour("--line")}, ticks: {stroke: colour("--line")}};
    const {times, minimum, maximum, mean, from, to} = this.data;
    const points = {show: times.length < 100};
    const format = to - from > 86400 ? {day: "numeric", month: "short"} : {hour: "2-digit", minute: "2-digit"};
    const short = new Intl.DateTimeFormat("en-GB", format);
    const long = new Intl.DateTimeFormat("en-GB", {dateStyle: "medium", timeStyle: "medium"});
    const ofTime = {...axis, values: (_, splits) => splits.map((each) => short.format(each * 1000))};
    this.plot = new uPlot({
      width: this.clientWidth,
      height: 300,
      scales: {x: {min: from, max: to}},
      axes: [ofTime, axis],
      series: [
        {value: (_, each) => each === null ? "–" : long.format(each * 1000)},
        {label: "max", stroke: "transparent", points: {show: false}},
        {label: "min", stroke: "transparent", points: {show: false}},
        {label: "mean", stroke: colour("--accent"), width: 2, points},
      ],
      bands: [{series: [1, 2], fill: colour("--accent-back")}],
    }, [times, maximum, minimum, mean], this);
  }
});

// A page that nobody looks at asks for nothing.
document.addEventListener("htmx:beforeRequest", (event) => {
  const {elt} = event.detail;
  if (document.hidden && (elt.getAttribute("hx-trigger") ?? "").startsWith("every")) event.preventDefault();
});

// A form that goes to another page is sent once, however often its button is pressed.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || form.hasAttribute("hx-post")) return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
});
addEventListener("pageshow", () => document.querySelectorAll("[data-sent]").forEach((each) => delete each.dataset.sent));
