std = "luajit"
max_line_length = 130
globals = { "Create", "Process", "NotifyChanged", "self" }
read_globals = {
   "FuRegisterClass", "CT_Tool", "Image", "Clip", "EXRIO", "ImgRectI", "Number", "bmd",
   "ANY_TYPE", "CHAN_RED", "CHAN_GREEN", "CHAN_BLUE", "CHAN_ALPHA",
}
