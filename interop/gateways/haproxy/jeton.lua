-- http-request lua.jeton REQUIREMENT: asks jeton whether the request may pass, and stops it if not.

local verify = "http://127.0.0.1:8080/oauth2/verify?"
local identity = { "x-jeton-client-id", "x-jeton-subject", "x-jeton-scope", "x-jeton-token-id" }

-- Values of one header, in the form that the client below wants them.
local function all(values)
    local list = {}
    for at, value in pairs(values or {}) do
        list[at + 1] = value
    end
    return list
end

local function stop(txn, status, headers)
    local reply = txn:reply({ status = status })
    for _, name in ipairs({ "www-authenticate", "dpop-nonce", "jeton-reference", "retry-after" }) do
        for _, value in ipairs(all(headers[name])) do
            reply:add_header(name, value)
        end
    end
    txn:done(reply)
end

local function jeton(txn, requirement)
    local answer = core.httpclient():get({
        url = verify .. requirement,
        -- Half a second, four times: HAProxy tries three times more.
        timeout = 500,
        headers = {
            ["authorization"] = all(txn.http:req_get_headers()["authorization"]),
            ["dpop"] = all(txn.http:req_get_headers()["dpop"]),
            ["x-forwarded-for"] = { txn.sf:src() },
            ["x-forwarded-method"] = { txn.sf:method() },
            ["x-forwarded-uri"] = { txn.sf:pathq() },
        },
    })
    if answer.status ~= 204 then
        -- Anything but yes and jeton's own ways of saying no is a failure, and a failure is no.
        local is_no = answer.status == 401 or answer.status == 403
        return stop(txn, is_no and answer.status or 503, answer.headers or {})
    end
    for _, name in ipairs(identity) do
        txn.http:req_set_header(name, all(answer.headers[name])[1] or "")
    end
end

core.register_action("jeton", { "http-req" }, jeton, 1)
