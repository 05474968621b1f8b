import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import express, { type RequestHandler, Router } from "express";
import { localsOf } from "./middleware/locals.js";

/** The page lies in `src` and, copied by the build, in `dist`: the same place from here. */
const pageDirectory = fileURLToPath(new URL("../playground/", import.meta.url));

const { resolve } = createRequire(import.meta.url);
/** What the page takes from packages, by the names under which it asks for them. */
export const vendoredFiles = {
  "inter.woff2": resolve("@fontsource-variable/inter/files/inter-latin-wght-normal.woff2"),
};

/** The page runs its own files and talks to its own server; `data:` and `blob:` are its pictures for export. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "font-src 'self'",
  "img-src 'self' data: blob:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
].join("; ");

const protect: RequestHandler = (_request, response, next) => {
  localsOf(response).route = "/playground";
  response.set({
    "Content-Security-Policy": contentSecurityPolicy,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    // Asked anew each time, answered with 304: a newer server brings its own page.
    "Cache-Control": "no-cache",
  });
  next();
};

/** `GET /` and `GET /playground/…`: the page, which is the same for everyone and holds nothing secret. */
export function playground(): Router {
  const router = Router({ caseSensitive: true });
  router.get("/", protect, (_request, response) => response.sendFile("index.html", { root: pageDirectory }));
  for (const [name, file] of Object.entries(vendoredFiles))
    router.get(`/playground/vendor/${name}`, protect, (_request, response) =>
      response.sendFile(file, { dotfiles: "allow" }),
    );
  router.use("/playground", protect, express.static(pageDirectory, { index: false, redirect: false }));
  return router;
}
