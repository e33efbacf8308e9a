--[[
A stand-in for Fusion that runs one Fuse under LuaJIT, driven by lines on standard input (see fusion_host.py).

Strict: an unknown global, control attribute or method is an error. True to the host where it matters: IMG_Like does not
clear (new images hold junk), images made with IMG_NoData have no pixels, rows count from the bottom, EXRIO reports
failures by return values and GetLastError only, and the Fuse's buffers are real float images. Files are read and written
by the driver (OpenImageIO); pixels pass through raw files.
--]]

local ffi = require("ffi")
local JUNK = -12345.0
local fuse_path = arg[1]
local quirks = {}

io.stdout:setvbuf("line")

local function split(line)
	local parts = {}
	for part in (line .. "\t"):gmatch("([^\t]*)\t") do parts[#parts + 1] = part end
	return parts
end

local function call(...)
	io.stdout:write("CALL\t" .. table.concat({ ... }, "\t") .. "\n")
	io.stdout:flush()
	return split(assert(io.stdin:read("*l"), "the driver has gone"))
end

local function strict(name, fields)
	return setmetatable(fields, {
		__index = function(_, key) error(name .. " has no " .. tostring(key), 2) end,
	})
end

-- Images --------------------------------------------------------------------------------------------------------------

local DEPTH_HALF, DEPTH_FLOAT = 7, 8
local image_methods = {}
local image_meta = {}
local attributes = {
	IMG_Like = true, IMG_Width = true, IMG_Height = true, IMG_Depth = true, IMG_NoData = true, IMG_DataWindow = true,
	IMG_Document = true, IMG_DeferAlloc = true,
}

image_meta.__index = function(_, key)
	return image_methods[key] or error("an Image has no " .. tostring(key), 2)
end

local function new_image(width, height, depth, nodata)
	local made = {
		Width = width, Height = height, OriginalWidth = width, OriginalHeight = height, Depth = depth,
		nodata = nodata or false,
	}
	if not nodata then
		made.pixels = ffi.new("float[?]", width * height * 4)
		for index = 0, width * height * 4 - 1 do made.pixels[index] = JUNK end
	end
	return setmetatable(made, image_meta)
end

local function ImageOf(options)
	for key in pairs(options) do
		if not attributes[key] then error("Image: unknown attribute " .. tostring(key), 2) end
	end
	local like = options.IMG_Like
	local width = options.IMG_Width or like and like.Width
	local height = options.IMG_Height or like and like.Height
	local made = new_image(width, height, options.IMG_Depth or like and like.Depth or DEPTH_FLOAT, options.IMG_NoData)
	if like then made.OriginalWidth, made.OriginalHeight = like.OriginalWidth, like.OriginalHeight end
	return made
end

local function need_pixels(image)
	assert(not rawget(image, "nodata"), "an image without data has no pixels: Fusion would crash")
	return rawget(image, "pixels")
end

function image_methods:CopyOf()
	local made = ImageOf({ IMG_Like = self })
	ffi.copy(made.pixels, need_pixels(self), self.Width * self.Height * 16)
	return made
end

function image_methods:Crop(dest, options)
	assert(options.CROP_XOffset == 0 and options.CROP_YOffset == 0, "only copies are modelled")
	ffi.copy(need_pixels(dest), need_pixels(self), self.Width * self.Height * 16)
	return dest
end

-- Raw files hold RGBA float rows from the top; images count rows from the bottom.
local function load_raw(path, image, channels)
	local stream = assert(io.open(path, "rb"))
	local content = stream:read("*a")
	stream:close()
	local source = ffi.cast("const float *", content)
	local pixels, width, height = need_pixels(image), image.Width, image.Height
	assert(#content == width * height * 16)
	for y = 0, height - 1 do
		for x = 0, width - 1 do
			for channel in pairs(channels) do
				pixels[((height - 1 - y) * width + x) * 4 + channel] = source[(y * width + x) * 4 + channel]
			end
		end
	end
end

local function save_raw(path, image)
	local pixels, width, height = need_pixels(image), image.Width, image.Height
	local turned = ffi.new("float[?]", width * height * 4)
	for y = 0, height - 1 do
		ffi.copy(turned + y * width * 4, pixels + (height - 1 - y) * width * 4, width * 16)
	end
	local stream = assert(io.open(path, "wb"))
	stream:write(ffi.string(turned, width * height * 16))
	stream:close()
end

local ALL = { [0] = true, [1] = true, [2] = true, [3] = true }

local function Rect(left, bottom, right, top)
	return strict("ImgRectI", { left = left, bottom = bottom, right = right, top = top })
end

-- EXRIO ---------------------------------------------------------------------------------------------------------------

local exrio_methods = {}

local function EXRIOof()
	return setmetatable({ error = "", channels = {}, writing = false }, {
		__index = function(_, key)
			-- The write names of the real object differ between versions.
			if key == "WritePart" and quirks.write_name == "_WritePart" then return nil end
			if key == "_WritePart" and quirks.write_name == "WritePart" then return nil end
			return exrio_methods[key] or error("EXRIO has no " .. tostring(key), 2)
		end,
	})
end

function exrio_methods:ReadOpen(path, frame)
	assert(frame == -1)
	rawset(self, "path", path)
end

function exrio_methods:ReadHeader()
	if quirks.exrio_read == "broken" then
		self.error = "cannot read"
		return false
	end
	local answer = call("read_exr", rawget(self, "path"))
	if answer[1] ~= "ok" then
		self.error = answer[2]
		return false
	end
	rawset(self, "header", answer)
	return true
end

function exrio_methods:GetChannels(part)
	assert(part == 1)
	local found = {}
	for name in rawget(self, "header")[4]:gmatch("[^,]+") do found[#found + 1] = { Name = name } end
	return found
end

function exrio_methods:DisplayWindow()
	return Rect(0, 0, tonumber(rawget(self, "header")[2]), tonumber(rawget(self, "header")[3]))
end

exrio_methods.DataWindow = exrio_methods.DisplayWindow

function exrio_methods:Part(name, display, data, aspect)
	if not self.writing then
		assert(name == 1)
		return 1
	end
	assert(type(name) == "string" and display and data and aspect)
	rawset(self, "window", data)
	return 1
end

function exrio_methods:Channel(name, kind, index, channel)
	assert(kind == "ANY_TYPE" and index == 1)
	self.channels[channel] = name
end

function exrio_methods:ReadPart(part, images)
	assert(part == 1 and #images == 1)
	load_raw(rawget(self, "header")[5], images[1], self.channels)
	os.remove(rawget(self, "header")[5])
	return true
end

function exrio_methods:WriteOpen(path, frame)
	assert(frame == -1)
	self.writing = true
	rawset(self, "path", path)
end

function exrio_methods:WriteHeader()
	return quirks.exrio_write ~= "broken" and quirks.exrio_write ~= "absent"
end

function exrio_methods:_WritePart(part, images)
	assert(part == 1 and #images == 1)
	if quirks.exrio_write == "lies" then return true end -- says yes and writes nothing
	local raw = call("raw_path")[2]
	save_raw(raw, images[1])
	return call("write_exr", rawget(self, "path"), images[1].Width, images[1].Height, raw)[1] == "ok"
end

exrio_methods.WritePart = exrio_methods._WritePart

function exrio_methods:Close() return rawget(self, "path") ~= nil end
function exrio_methods:GetLastError() return self.error end

-- Clip ----------------------------------------------------------------------------------------------------------------

local clip_methods = {}
local clip_meta = { __index = function(_, key) return clip_methods[key] or error("a Clip has no " .. tostring(key), 2) end }

local function ClipOf(path, save)
	return setmetatable({ path = path, save = save }, clip_meta)
end

function clip_methods.Open() return quirks.clip ~= "broken" end
function clip_methods.Close() end

function clip_methods:GetFrame()
	local answer = call("read_exr", self.path)
	if answer[1] ~= "ok" then return nil end
	local image = new_image(tonumber(answer[2]), tonumber(answer[3]), DEPTH_FLOAT)
	load_raw(answer[5], image, ALL)
	os.remove(answer[5])
	return image
end

function clip_methods:PutFrame(_, image)
	assert(self.save)
	if quirks.putframe == "broken" then return false end
	local raw = call("raw_path")[2]
	save_raw(raw, image)
	return call("write_exr", self.path, image.Width, image.Height, raw)[1] == "ok"
end

-- The node ------------------------------------------------------------------------------------------------------------

local inputs, order = {}, {}
local shown_depth = DEPTH_FLOAT
local INPUT_ATTRIBUTES = {
	LINKID_DataType = true, INPID_InputControl = true, INPS_DefaultText = true, TEC_Lines = true, INP_Default = true,
	INP_MinScale = true, INP_MaxScale = true, INP_Integer = true, INP_DoNotifyChanged = true, INP_External = true,
	INP_Passive = true, IC_Visible = true, LINK_Main = true,
}

local function input_image(time)
	local answer = call("input", time)
	if answer[1] ~= "ok" then return nil end
	local image = new_image(tonumber(answer[2]), tonumber(answer[3]), shown_depth)
	if answer[5] ~= "" then image.OriginalWidth = tonumber(answer[5]) end
	load_raw(answer[4], image, ALL)
	os.remove(answer[4])
	return image
end

local function add_input(_, label, id, options)
	assert(not inputs[id], id .. " is there twice")
	for key in pairs(options) do
		if not INPUT_ATTRIBUTES[key] then error("unknown attribute of an input: " .. tostring(key), 2) end
	end
	local made = { id = id, label = label, kind = options.LINKID_DataType, value = options.INP_Default or options.INPS_DefaultText }
	function made.GetValue(_, req)
		assert(req, "GetValue needs the request")
		if made.kind == "Image" then return input_image(req.Time) end
		return { Value = made.value }
	end
	function made.GetSource(_, time)
		if made.kind == "Image" then return input_image(time) end
		return { Value = made.value }
	end
	function made.SetSource(_, value) made.value = value.Value end
	function made.SetAttrs(_, attrs) made.label = attrs.LINKS_Name or made.label end
	inputs[id] = strict("an input", made)
	order[#order + 1] = id
	return inputs[id]
end

local outcome
local function add_output()
	return strict("an output", {
		Set = function(_, req, image)
			assert(req)
			outcome = { image = image }
		end,
	})
end

local node = {
	AddInput = add_input,
	AddOutput = add_output,
	SetProgress = function() end,
	Status = "OK",
	Comp = strict("Comp", { GlobalStart = 0, GlobalEnd = 11, MapPath = function(_, path) return (path:gsub("^Comp:", "/")) end }),
}
setmetatable(node, { __index = function(_, key) error("the node has no " .. tostring(key), 2) end })

local registered
local world = {
	FuRegisterClass = function(name, class, attrs)
		assert(class == "CT_Tool" and attrs.REGS_Category and attrs.REGS_OpIconString)
		registered = name
	end,
	CT_Tool = "CT_Tool", ANY_TYPE = "ANY_TYPE", CHAN_RED = 0, CHAN_GREEN = 1, CHAN_BLUE = 2, CHAN_ALPHA = 3,
	self = node, Image = ImageOf, Clip = ClipOf, EXRIO = EXRIOof, ImgRectI = Rect,
	Number = function(value) return { Value = value } end,
	bmd = strict("bmd", {
		wait = function(seconds) call("wait", seconds) end,
		createdir = function(path) return call("createdir", path)[1] == "ok" end,
		fileexists = function(path) return call("fileexists", path)[1] == "ok" end,
	}),
	io = { open = io.open }, os = {
		rename = os.rename,
		remove = os.remove,
		time = function() return os.time() + tonumber(quirks.later or 0) end,
		getenv = os.getenv,
	},
	string = string, table = table, math = math, bit = require("bit"), pairs = pairs, ipairs = ipairs, pcall = pcall,
	error = error, tostring = tostring, tonumber = tonumber, type = type,
}
setmetatable(world, {
	__index = function(_, key) error("no global " .. tostring(key) .. " in Fusion", 2) end,
	__newindex = function(table_, key, value)
		assert(key == "Create" or key == "Process" or key == "NotifyChanged", "a stray global: " .. tostring(key))
		rawset(table_, key, value)
	end,
})

local chunk = assert(loadfile(fuse_path))
setfenv(chunk, world)
chunk()
assert(registered == "ColorMNet")
world.Create()

local function request(time, flags)
	return strict("a request", {
		Time = time, BaseTime = time,
		IsPreCalc = function() return flags.precalc == true end,
		IsQuick = function() return flags.quick == true end,
		IsStampOnly = function() return flags.stamp == true end,
		GetFlags = function() return 0 end,
	})
end

local function reply(...)
	local parts = { ... }
	for index, part in ipairs(parts) do parts[index] = tostring(part):gsub("[\t\r\n]", " ") end
	io.stdout:write("DONE\t" .. table.concat(parts, "\t") .. "\n")
	io.stdout:flush()
end

local commands = {}

function commands.set(id, value)
	local input = assert(inputs[id], "no control " .. id)
	if input.kind == "Number" then value = tonumber(value) end
	input.value = type(value) == "string" and value:gsub("\\n", "\n") or value
	reply("ok")
end

function commands.get(id) reply("ok", assert(inputs[id]).value, inputs[id].label) end

function commands.press(id)
	assert(rawget(world, "NotifyChanged"))
	world.NotifyChanged(assert(inputs[id]), { Value = 1 }, 0)
	reply("ok")
end

function commands.quirk(name, value)
	quirks[name] = value
	if name == "depth" then shown_depth = tonumber(value) end
	reply("ok")
end

function commands.comp(first, last)
	rawset(node.Comp, "GlobalStart", tonumber(first))
	rawset(node.Comp, "GlobalEnd", tonumber(last))
	reply("ok")
end

function commands.render(time, flag)
	outcome = nil
	node.Status = "OK"
	local done, message = pcall(world.Process, request(tonumber(time), { [flag or "none"] = true }))
	if not done then
		reply("failed", node.Status, message, inputs.Status.label)
		return
	end
	assert(outcome, "Process set no output")
	local image = outcome.image
	if not image then
		reply("empty")
	elseif image.nodata then
		reply("nodata", image.Width, image.Height)
	else
		local raw = call("raw_path")[2]
		save_raw(raw, image)
		reply("image", image.Width, image.Height, raw, image.Depth)
	end
end

reply("ready", table.concat(order, ","))
for line in io.stdin:lines() do
	local parts = split(line)
	local name = table.remove(parts, 1)
	commands[name](unpack(parts))
end
