-- Marks a notebook's parts for template.typ: the title, source and output of code cells, pictures.

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

-- Markdown that a cell printed is text to typeset, tables first of all.
local function read_markdown(block)
  if block.format == "markdown" then
    return pandoc.read(block.text, "markdown").blocks
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

-- A table stays on one page with its caption, unless it is so long that it would leave much of the page before it empty.
local function rich_output(content)
  local blocks = content:walk({ RawBlock = read_markdown, Blocks = keep_with_next })
  local rows = 0
  blocks:walk({
    Table = function(block)
      for _, body in ipairs(block.bodies) do
        rows = rows + #body.body
      end
    end,
  })
  return wrapped(0 < rows and rows <= 15 and "table-output" or "rich-output", blocks)
end

local function code_cell(cell)
  local result = pandoc.Blocks({})
  for _, block in ipairs(cell.content) do
    if block.t == "CodeBlock" and block.text:match("%S") then
      result:extend(wrapped("source-code", { block }))
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
  doc.blocks = blocks:walk({ Para = picture, Plain = picture })
  take_title(doc)
  return doc
end
