"""How much a file may ask for: all limits on what strangers' files make a reader do.

Each is several times what the largest real file needs, and low enough that whatever passes takes
seconds and some hundred megabytes; a file above it is refused before it is unfolded or parsed.
"""

MIB = 2**20

# Configs and indexes: with 21,843 labels (ImageNet's), a config.json takes 1.5 MB
MAX_JSON_BYTES = 4 * MIB
MAX_JSON_DEPTH = 64  # real ones: 6

# vocab.txt and tokenizer.json: LaBSE's, the largest of BERT's, have 501,153 tokens and 10 MB
MAX_TOKENIZER_BYTES = 24 * MIB
MAX_TOKENS = 2**20  # in a vocabulary; also what a JSON file may have of values
MAX_ADDED_CHARACTERS = 256  # of a token that is looked for in the text; real ones: 30
# a setting, max_input_chars_per_word: the time for a word grows with its square; BERT's: 100
MAX_WORD_CHARACTERS = 500
MAX_TEXT_CHARACTERS = 2**24  # the King James Bible has 4.3 million

# Weights: BERT-large has 391 tensors, 45 kB of a safetensors header, 60 kB of a pickle
MAX_HEADER_BYTES = 4 * MIB  # of a safetensors file; twenty thousand tensors or more
MAX_PICKLE_BYTES = MIB  # of all pickles of a file together; five thousand tensors
MAX_DIRECTORY_BYTES = 2 * MIB  # of a zip archive; fifteen thousand members
MAX_DIMENSIONS = 32  # what NumPy knows, from 1.26 on
# Tensors may share storages, and a stride of 0 makes a large tensor of one number. Tied weights
# make a file's tensors at most twice as large as the file.
MAX_EXPANSION = 4

# Recordings: of 24 layers, all stages of two batches are about a thousand arrays
MAX_ARRAYS = 10_000
# Attention to padding is all zeros: a whole recording may unfold to ten times its own size
MAX_NPZ_BYTES = 64 * MIB  # what any archive may unfold to; a large one to
MAX_NPZ_EXPANSION = 16  # times its own size
MAX_NPY_HEADER_BYTES = 10_000  # of an array in it, as NumPy allows; real ones: 118
