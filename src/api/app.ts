import express, { type Express, type RequestHandler } from "express";
import { Refusals } from "./access/refusals.js";
import type { ApiContext } from "./context.js";
import { access } from "./middleware/access.js";
import { errorHandler, methodNotAllowed, routeNotFound } from "./middleware/errors.js";
import { jsonBody } from "./middleware/json-body.js";
import { untilLoaded } from "./middleware/loaded.js";
import { localsOf } from "./middleware/locals.js";
import { observe } from "./middleware/observe.js";
import { plainPath } from "./middleware/plain-path.js";
import { playground } from "./playground.js";
import { createRoutes } from "./routes.js";

/** Everything that the server does over HTTP. */
export function createApp(context: ApiContext): Express {
  const app = express();
  app.disable("x-powered-by").disable("etag").enable("case sensitive routing");
  app.use(observe(context));
  app.use(access(context));
  app.use(plainPath);

  const readBody = jsonBody(context, context.limits.bodyBytes);
  const routes = createRoutes(context);
  for (const path of new Set(routes.map((route) => route.path))) {
    app.all(path, named(path));
    const methods = routes.filter((route) => route.path === path);
    for (const { method, handler, holdsModel, event } of methods) {
      const waits = holdsModel ? [untilLoaded(context, event !== undefined)] : [];
      if (method === "POST") app.post(path, ...readBody, ...waits, handler);
      else if (method === "GET") app.get(path, handler);
      else app.delete(path, handler);
    }
    app.all(path, methodNotAllowed(methods.map(({ method }) => allowed[method]).join(", ")));
  }
  app.use(playground());

  app.use(routeNotFound);
  app.use(errorHandler(new Refusals()));
  return app;
}

const allowed = { GET: "GET, HEAD", POST: "POST", DELETE: "DELETE" } as const;

/** Notes the pattern for metrics and logs, where the client's path must not stand. */
function named(path: string): RequestHandler {
  return (_request, response, next) => {
    localsOf(response).route = path;
    next();
  };
}
