-- Drops what a backend might take for an identity header of jeton's: X_Jeton_Subject, X.Jeton.Subject and the
-- like. mod_headers can only name headers, and these have too many names.
function drop_identity(r)
    -- mod_proxy drops what a caller names here, after the true identity was put in.
    if (r.headers_in["Connection"] or ""):lower():find("jeton", 1, true) then
        return 400
    end
    for name in pairs(r:headers_in_table()) do
        if name:lower():find("^x[^a-z0-9]jeton[^a-z0-9]") then
            r.headers_in[name] = nil
        end
    end
    return apache2.DECLINED
end
