-- side: what is noted of a job beside its payload. One that nobody can read is as good as none.
local function read_side(text)
  local read, side = pcall(cjson.decode, text)
  return read and type(side) == 'table' and side or {}
end
