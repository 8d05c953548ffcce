-- Reads what notebooks hold as text: Markdown that a cell printed, and pictures written as HTML.

-- Without what means something in pandoc's Markdown alone, and nothing in JupyterLab's.
local OUTPUT = "markdown-raw_attribute-raw_tex-citations-yaml_metadata_block-fenced_divs-bracketed_spans-latex_macros"
-- Columns as wide as their texts: of tables with longer lines than this, pandoc makes the widths up.
local OPTIONS = { columns = 10000 }
-- The files that a reader may open.
local NONE = {}

function RawBlock(block)
  if block.format == "markdown" then
    return pandoc.read(block.text, OUTPUT, OPTIONS, NONE).blocks:walk({ RawInline = RawInline, RawBlock = RawBlock })
  elseif block.format == "html" and block.text:match("<img") then
    return pandoc.read(block.text, "html", nil, NONE).blocks
  end
end

function RawInline(inline)
  if inline.format == "html" and inline.text:match("^<img") then
    return pandoc.utils.blocks_to_inlines(pandoc.read(inline.text, "html", nil, NONE).blocks)
  end
end
