-- wrk prints rounded text; this adds one line of JSON with the exact figures. Unless it is called with `-- varied` it
-- defines nothing that wrk calls per request, so the load costs the same with it.

-- varied: ten header fields as a browser sends them, and no two requests alike: another query and trace id each time
init = function(args)
  if args[1] ~= "varied" then return end
  local sent = 0
  local headers = {
    ["accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ["accept-encoding"] = "gzip, deflate, br", ["accept-language"] = "en-GB,en;q=0.5", ["cache-control"] = "no-cache",
    ["cookie"] = "session=8c1f3c0a5d; theme=dark", ["referer"] = "http://shop.example/cart",
    ["user-agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", ["x-tenant"] = "acme",
  }
  request = function()
    sent = sent + 1
    headers["x-b3-traceid"] = string.format("%032x", sent)
    return wrk.format("GET", wrk.path .. "?n=" .. sent, headers)
  end
end

done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'wrk-json {"requests": %d, "duration_us": %d, "bytes": %d, "p50_us": %d, "p99_us": %d, ' ..
    '"errors": {"connect": %d, "read": %d, "write": %d, "timeout": %d, "status": %d}}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
    e.connect, e.read, e.write, e.timeout, e.status))
end
