-- What envoy.yaml cannot say: which claims and cookies do not reach the app, and what a browser
-- does not keep.

-- Without what may be a seal: where nobody is asked whether it is over, it must not reach the app,
-- which would take it, or seal it once more.
local function without_seal(headers)
  local kept = {}
  for line = 0, headers:getNumValues("cookie") - 1 do
    for pair in headers:getAtIndex("cookie", line):gmatch("[^;]+") do
      local issued = pair:match("^ *neptun%-session=([%w_-]+)$")
      if not pair:find("neptun-session", 1, true) or (issued and #issued == 43) then
        kept[#kept + 1] = pair
      end
    end
  end
  return table.concat(kept, ";")
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local claims = {}
  for name in pairs(headers) do
    if name:find("^remote") then
      claims[#claims + 1] = name
    end
  end
  for _, name in ipairs(claims) do
    headers:remove(name)
  end
  if handle:metadata():get("open") then
    headers:replace("cookie", without_seal(headers))
  end
  if tonumber(headers:get("content-length") or 0) > 32 * 1024 * 1024 then
    handle:respond({ [":status"] = "413" }, "")
  end
end

-- What is shown to users only is not kept for whoever uses the browser after them.
function envoy_on_response(handle)
  local kind = (handle:headers():get("content-type") or ""):lower()
  local is_private = kind:find("^text/html") or kind:find("^application/xhtml") or kind:find("^application/[^;]*json")
  if is_private and not handle:metadata():get("open") then
    handle:headers():replace("cache-control", "no-store")
  end
end
