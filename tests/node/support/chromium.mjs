// A real Chromium, and pages that must not log errors.
import assert from 'node:assert/strict';
import { accessSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { cleanup } from './cleanup.mjs';

const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

/** The browser named by CHROMIUM, else the first `chromium` of the PATH. */
function executable() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  for (const folder of process.env.PATH.split(':')) {
    try {
      accessSync(join(folder, 'chromium'));
      return join(folder, 'chromium');
    } catch {
      // the next folder
    }
  }
  throw new Error('no chromium in the PATH; install the package or set CHROMIUM');
}

/** Starts a browser, which ends when the test or suite `t` is over. */
export async function launch(t) {
  const profile = await mkdtemp(join(tmpdir(), 'tidings-chromium-'));
  const browser = await chromium.launchPersistentContext(profile, { executablePath: executable(), headless: true, args: FLAGS });
  cleanup(t, async () => {
    await browser.close();
    await rm(profile, { recursive: true, force: true });
  });
  return browser;
}

/** Opens a page and fails the test on any error the browser logs. */
export async function open(t, browser, url, { errors = [] } = {}) {
  const page = await browser.newPage();
  page.setDefaultTimeout(20_000);
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  cleanup(t, async () => {
    await page.close();
    assert.deepEqual(errors, []);
  });
  await page.goto(url);
  return page;
}
