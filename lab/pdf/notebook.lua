-- Marks a notebook's parts for template.typ: the title, source and output of code cells, pictures. What it gets has no
-- code for Typst in it (see harmless.py), and its pictures are files beside it.

local function typst(text)
  return pandoc.RawBlock("typst", text)
end

local function wrapped(call, blocks)
  local result = pandoc.Blocks({ typst("#" .. call .. "[") })
  result:extend(blocks)
  result:insert(typst("]"))
  return result
end

-- A picture in a paragraph of its own becomes a block that fits the page.
local function picture(block)
  local image = #block.content == 1 and block.content[1]
  if image and image.t == "Image" then
    return typst('#picture("' .. image.src .. '")')
  end
end

-- The line above code or a table, such as the file's name, stays with it.
local function keep_with_next(blocks)
  local result = pandoc.Blocks({})
  for index, block in ipairs(blocks) do
    local next = blocks[index + 1]
    if block.t == "Para" and next and (next.t == "CodeBlock" or next.t == "Table") then
      result:extend(wrapped("line-above", { block }))
    else
      result:insert(block)
    end
  end
  return result
end

-- A table stays on one page with its caption, and each item of source code in one piece, unless they are so long that they
-- would leave much of the page before them empty.
local LONGEST_TABLE, LONGEST_ITEM = 15, 45

-- The items of some source code: what stands between an empty line and the next that something not indented follows.
local function items(code)
  local result = pandoc.Blocks({})
  for part in (code.text .. "\n"):gsub("\n\n(%S)", "\n\0%1"):gmatch("[^\0]+") do
    local text = part:gsub("%s+$", "")
    local _, lines = text:gsub("\n", "")
    local block = pandoc.CodeBlock(text, code.attr)
    result:extend(wrapped(lines < LONGEST_ITEM and "item" or "block", { block }))
  end
  return result
end

local function rich_output(content)
  local rows = 0
  content:walk({
    Table = function(block)
      for _, body in ipairs(block.bodies) do
        rows = rows + #body.body
      end
    end,
  })
  local blocks = content:walk({ Blocks = keep_with_next })
  if 0 < rows and rows <= LONGEST_TABLE then
    return wrapped("table-output", blocks)
  end
  return wrapped("rich-output", blocks:walk({ CodeBlock = items }))
end

-- "**Figure 3.** …", as the first words of a paragraph.
local function is_caption(block)
  local first = block and block.t == "Para" and block.content[1]
  return first and first.t == "Strong" and pandoc.utils.stringify(first):match("^Figure %d+%.$")
end

-- The caption of a picture is the paragraph after it. Pictures are paragraphs of Typst by now, alone in an output.
local function join_captions(blocks)
  local result = pandoc.Blocks({})
  for _, block in ipairs(blocks) do
    local size = #result
    local path = size >= 3 and result[size - 1].t == "RawBlock" and result[size - 1].text:match('^#picture%("(.*)"%)$')
    if path and result[size].text == "]" and is_caption(block) then
      for _ = 1, 3 do
        result:remove()
      end
      result:extend(wrapped('captioned-picture("' .. path .. '")', { block }))
    else
      result:insert(block)
    end
  end
  return result
end

local function code_cell(cell)
  local result = pandoc.Blocks({})
  for index, block in ipairs(cell.content) do
    if block.t == "CodeBlock" and block.text:match("%S") then
      -- With an output it stays on one page; without one it need not stay with the next cell.
      local shown = cell.content[index + 1] and "source-code" or "source-code(sticky: false)"
      result:extend(wrapped(shown, { block }))
    elseif block.t == "Div" then
      local classes = block.classes
      local text = block.content[1] and block.content[1].t == "CodeBlock"
      if classes:includes("error") then
        result:extend(wrapped("error-output", block.content))
      elseif classes:includes("stderr") then
        result:extend(wrapped("message-output", block.content))
      elseif text then
        result:extend(wrapped("text-output", block.content))
      else
        result:extend(rich_output(block.content))
      end
    end
  end
  return result
end

-- The first heading is the document's title.
local function take_title(doc)
  for index, block in ipairs(doc.blocks) do
    if block.t == "Header" then
      if block.level == 1 and not doc.meta.title then
        doc.meta.title = pandoc.MetaInlines(block.content)
        doc.blocks:remove(index)
        for _, other in ipairs(doc.blocks) do
          if other.t == "Header" then
            other.level = math.max(1, other.level - 1)
          end
        end
      end
      return
    end
  end
end

-- A link to a heading that is not there, or there twice, would end the typesetting. JupyterLab's links keep capitals.
local function keep_links(blocks)
  local names = {}
  local function header(block)
    local name = block.identifier:lower()
    if names[name] then
      block.identifier = ""
    elseif name ~= "" then
      names[name] = block.identifier
    end
    return block
  end
  local function link(inline)
    local name = inline.target:match("^#(.*)")
    if name and names[name:lower()] then
      inline.target = "#" .. names[name:lower()]
    elseif name then
      return inline.content
    end
    return inline
  end
  return blocks:walk({ Header = header }):walk({ Link = link })
end

function Pandoc(doc)
  local blocks = pandoc.Blocks({})
  for _, block in ipairs(doc.blocks) do
    if block.t == "Div" and block.classes:includes("code") then
      blocks:extend(code_cell(block))
    elseif block.t == "Div" and block.classes:includes("cell") then
      blocks:extend(block.content)
    else
      blocks:insert(block)
    end
  end
  doc.blocks = join_captions(blocks:walk({ Para = picture, Plain = picture }))
  take_title(doc)
  doc.blocks = keep_links(doc.blocks)
  return doc
end
