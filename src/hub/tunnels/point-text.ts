/** `10.0.0.1:5100`, `[::1]:5100`. */
export function pointText(point: { readonly port: number } & ({ readonly address: string } | { readonly host: string })) {
  const host = "address" in point ? point.address : point.host;
  return host.includes(":") ? `[${host}]:${point.port}` : `${host}:${point.port}`;
}
