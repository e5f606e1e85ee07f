"use strict";

// The CoAP messages of a device while they pass: from when its section is opened until it is closed. A stream ends
// before the gateway ends it; the next one is opened before that, and what both have told is shown once.
const MOST = 500;
const ON_ITS_WAY_MS = 1000; // what the stream before has told may come so late

customElements.define("coap-log", class extends HTMLElement {
  connectedCallback() {
    this.rows = this.querySelector("tbody");
    this.state = this.querySelector("[role=status]");
    this.section = this.closest("details");
    this.toggled = () => this.section.open ? this.follow() : this.end();
    this.section.addEventListener("toggle", this.toggled);
    if (this.section.open) this.follow();
  }

  disconnectedCallback() {
    this.section.removeEventListener("toggle", this.toggled);
    this.end();
  }

  end() {
    this.streams?.forEach((each) => each.close());
    this.streams = new Set();
    this.dataset.state = "";
  }

  follow() {
    this.end();
    this.told = [];
    this.open();
  }

  open(before) {
    const stream = new EventSource(this.getAttribute("src"));
    this.streams.add(stream);
    stream.addEventListener("open", () => {
      this.say("following");
      setTimeout(() => this.close(before), ON_ITS_WAY_MS);
    });
    stream.addEventListener("message", (event) => this.tell(event.data));
    stream.addEventListener("turn", () => this.open(stream));
    stream.addEventListener("error", () => {
      if (this.streams.size > 1) this.close(stream);
      else this.say(stream.readyState === EventSource.CLOSED ? "failed" : "again");
    });
  }

  close(stream) {
    stream?.close();
    this.streams.delete(stream);
  }

  say(state) {
    this.dataset.state = state;
    this.state.textContent = this.getAttribute(state);
  }

  tell(text) {
    if (this.told.includes(text)) return;
    this.told = [text, ...this.told].slice(0, MOST);
    const {timestamp, incoming, type, code, mId, token, options, payload} = JSON.parse(text);
    const time = new Date(timestamp).toISOString().slice(11, 23);
    const row = this.rows.insertRow(0);
    const what = `${type} ${code ?? this.getAttribute("empty")}`;
    for (const each of [time, this.getAttribute(incoming ? "received" : "sent"), what, `${mId} ${token}`, [options, payload].filter(Boolean).join("\n")]) {
      row.insertCell().textContent = each;
    }
    row.lastChild.className = "message";
    while (this.rows.rows.length > MOST) this.rows.deleteRow(-1);
  }
});
