"""Debian's chromium without a screen, told what to do through a pipe: no library is needed.

The protocol: JSON with a NUL after each message, commands into the browser's descriptor 3, answers
and events out of its descriptor 4.
"""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time

PATIENCE = 300  # seconds for one command, on a busy machine
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
FLAGS += ["--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe"]


def find_chromium():
    """Return the program, or None."""
    names = "chromium", "chromium-browser", "google-chrome"
    return next((found for name in names if (found := shutil.which(name))), None)


class Browser:
    """One page in one browser, for a with statement."""

    def __init__(self, program, profile):
        their_read, self.write = pipe()
        self.read, their_write = pipe()
        command = [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        redirected = f'exec "$@" 3<&{their_read} 4>&{their_write}'
        self.process = subprocess.Popen(
            ["bash", "-c", redirected, "bash", *command],
            pass_fds=(their_read, their_write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(their_read)
        os.close(their_write)
        self.count, self.buffer, self.events, self.session = 0, b"", [], None

    def __enter__(self):
        self.tab = None
        return self

    def fresh_tab(self):
        """Leave the page behind: nothing of it may change the next."""
        self.session, old = None, self.tab
        self.tab = self("Target.createTarget", url="about:blank")["targetId"]
        if old:
            self("Target.closeTarget", targetId=old)
        attached = self("Target.attachToTarget", targetId=self.tab, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self(f"{domain}.enable")

    def __exit__(self, *error):
        os.close(self.write)  # it ends when its commands end
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.read)

    def __call__(self, method, **params):
        """Send a command, return its result; events are kept on the way."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        return self.wait(lambda answer: answer.get("id") == self.count)["result"]

    def wait(self, wanted):
        """Return the first message that is wanted; RuntimeError if it says that it failed."""
        end = time.monotonic() + PATIENCE
        while True:
            message = self.receive(end - time.monotonic())
            if "error" in message:
                raise RuntimeError(message["error"])
            if wanted(message):
                return message
            self.events.append(message)

    def receive(self, seconds):
        while b"\0" not in self.buffer:
            if not select.select([self.read], [], [], max(seconds, 0))[0]:
                raise TimeoutError(f"chromium said nothing for {PATIENCE} seconds")
            if not (block := os.read(self.read, 2**20)):
                raise RuntimeError("chromium ended")
            self.buffer += block
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def open(self, address, width, scheme="light", sight="none"):
        """Show a page at a width; scheme "light" or "dark", sight e.g. "achromatopsia"."""
        self.fresh_tab()
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
        self("Emulation.setDeviceMetricsOverride", **size)
        self("Emulation.setEmulatedMedia", features=features)
        self("Emulation.setEmulatedVisionDeficiency", type=sight)
        self.events.clear()
        self("Page.navigate", url=address)
        self.wait(lambda event: event.get("method") == "Page.loadEventFired")

    def value(self, expression):
        """Return what an expression of JavaScript is in the page."""
        answer = self("Runtime.evaluate", expression=expression, returnByValue=True)
        return answer["result"].get("value", answer)

    def picture(self, selector="html"):
        """Return the PNG of an element."""
        box = self.value(
            f"(r => ({{x: r.x + scrollX, y: r.y + scrollY, width: r.width, height: r.height}}))"
            f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
        )
        clip = {**box, "scale": 1}
        shot = self("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(shot["data"])


def pipe():
    """Return a pipe whose numbers are not 3 and 4."""
    ends = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return high
