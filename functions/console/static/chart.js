"use strict";

// A line with a band: the mean of each part of the time, from its smallest to its greatest value. All charts of
// a page have one cursor; what is dragged over is looked at closer in all of them, and a double click ends that.
const ZOOM = "value-chart-zoom";

customElements.define("value-chart", class extends HTMLElement {
  connectedCallback() {
    this.setAttribute("role", "img");
    this.setAttribute("aria-label", this.getAttribute("label"));
    this.lines = (this.getAttribute("lines") ?? "").split(" ").filter(Boolean).map(Number);
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.redraw = () => this.draw();
    this.zoomed = (event) => this.load(event.detail);
    this.dark.addEventListener("change", this.redraw);
    document.addEventListener(ZOOM, this.zoomed);
    this.resizing = new ResizeObserver(() => this.plot?.setSize({width: this.clientWidth, height: this.height()}));
    this.resizing.observe(this);
    this.addEventListener("dblclick", () => document.dispatchEvent(new CustomEvent(ZOOM)));
    return this.load();
  }

  disconnectedCallback() {
    this.dark.removeEventListener("change", this.redraw);
    document.removeEventListener(ZOOM, this.zoomed);
    this.resizing.disconnect();
    this.plot?.destroy();
  }

  height() {
    return document.querySelectorAll("value-chart").length > 1 ? 200 : 300;
  }

  async load(range) {
    const time = (seconds) => encodeURIComponent(new Date(seconds * 1000).toISOString());
    const part = range ? `&from=${time(range.from)}&to=${time(range.to)}` : "";
    try {
      const answer = await fetch(this.getAttribute("src") + part, {headers: {"HX-Request": "true"}});
      if (!answer.ok) throw new Error(answer.statusText);
      this.data = await answer.json();
    } catch {
      this.plot?.destroy();
      this.textContent = this.getAttribute("failed");
      return;
    }
    this.draw();
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
    this.colour = (name) => style.getPropertyValue(name).trim();
    const axis = {stroke: this.colour("--faint"), grid: {stroke: this.colour("--line")}, ticks: {stroke: this.colour("--line")}};
    const {times, minimum, maximum, mean, from, to} = this.data;
    const format = to - from > 86400 ? {day: "numeric", month: "short"} : {hour: "2-digit", minute: "2-digit", ...(to - from < 600 && {second: "2-digit"})};
    const short = new Intl.DateTimeFormat("en-GB", format);
    const long = new Intl.DateTimeFormat("en-GB", {dateStyle: "medium", timeStyle: "medium"});
    this.plot = new uPlot({
      width: this.clientWidth,
      height: this.height(),
      cursor: {sync: {key: "device"}, drag: {x: true, setScale: false}},
      scales: {x: {min: from, max: to}, y: {range: (_, low, high) => uPlot.rangeNum(Math.min(low, ...this.lines), Math.max(high, ...this.lines), 0.1, true)}},
      axes: [{...axis, values: (_, splits) => splits.map((each) => short.format(each * 1000))}, {...axis, size: 64}],
      series: [
        {value: (_, each) => each === null ? "–" : long.format(each * 1000)},
        {label: "max", stroke: "transparent", points: {show: false}},
        {label: "min", stroke: "transparent", points: {show: false}},
        {label: "mean", stroke: this.colour("--accent"), width: 2, points: {show: times.length < 100}},
      ],
      bands: [{series: [1, 2], fill: this.colour("--accent-back")}],
      hooks: {setSelect: [(plot) => this.look(plot)], draw: [(plot) => this.lines.forEach((each) => this.line(plot, each))]},
    }, [times, maximum, minimum, mean], this);
  }

  look(plot) {
    const {left, width} = plot.select;
    if (width < 5) return;
    const [from, to] = [left, left + width].map((place) => plot.posToVal(place, "x"));
    plot.setSelect({left: 0, width: 0, top: 0, height: 0}, false);
    document.dispatchEvent(new CustomEvent(ZOOM, {detail: {from, to}}));
  }

  line({ctx, bbox, valToPos}, number) {
    const at = valToPos(number, "y", true);
    ctx.save();
    ctx.strokeStyle = this.colour("--warm");
    ctx.setLineDash([6, 4]);
    ctx.stroke(new Path2D(`M${bbox.left} ${at}h${bbox.width}`));
    ctx.restore();
  }
});
