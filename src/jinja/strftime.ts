const days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const months = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];

const pad = (number: number, length = 2, fill = "0") => String(number).padStart(length, fill);

/** Python's `strftime` in the C locale; `%-d` is without a zero before it. An unknown directive stays as it is. */
export function strftime(date: Date, format: string): string {
  const hour12 = date.getHours() % 12 || 12;
  const dayOfYear = Math.round(
    (Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) - Date.UTC(date.getFullYear(), 0, 0)) /
      86_400_000,
  );
  const day = days[date.getDay()] ?? "";
  const month = months[date.getMonth()] ?? "";
  const parts: Record<string, string> = {
    Y: String(date.getFullYear()),
    y: pad(date.getFullYear() % 100),
    m: pad(date.getMonth() + 1),
    d: pad(date.getDate()),
    e: pad(date.getDate(), 2, " "),
    H: pad(date.getHours()),
    I: pad(hour12),
    M: pad(date.getMinutes()),
    S: pad(date.getSeconds()),
    f: pad(date.getMilliseconds() * 1000, 6),
    j: pad(dayOfYear, 3),
    p: date.getHours() < 12 ? "AM" : "PM",
    A: day,
    a: day.slice(0, 3),
    B: month,
    b: month.slice(0, 3),
    h: month.slice(0, 3),
    w: String(date.getDay()),
    u: String(date.getDay() || 7),
    Z: "",
    z: "",
    "%": "%",
    n: "\n",
    t: "\t",
  };
  const whole: Record<string, string> = {
    F: "%Y-%m-%d",
    T: "%H:%M:%S",
    R: "%H:%M",
    D: "%m/%d/%y",
    x: "%m/%d/%y",
    X: "%H:%M:%S",
    c: "%a %b %e %H:%M:%S %Y",
  };
  return format
    .replaceAll(/%([FTRDxXc])/g, (_, name: string) => whole[name] ?? "")
    .replaceAll(/%(-?)([a-zA-Z%])/g, (found, minus: string, name: string) => {
      const text = parts[name];
      if (text === undefined) return found;
      return minus === "" ? text : text.replace(/^[0 ]+(?=\d)/, "");
    });
}
