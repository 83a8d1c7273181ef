"""The words of the drawn world, and the sentences in which questions are asked, some held out.

Words, colours and kinds are few on purpose: a small model can learn them all, and a reader sees at a glance
what it was shown.  Every kind of question has sentences with gaps ("What is the value of {label}?").  They
are asked as they are, in lower case, or politely.  For each kind, five sentences and some manners are held
out: training never asks them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

__all__ = [
    "ASPECTS",
    "BUTTONS",
    "CATEGORIES",
    "CHARACTERS",
    "COLOURS",
    "FIELDS",
    "KINDS",
    "LETTERS",
    "MANNERS",
    "NAMES",
    "OPERATORS",
    "OPTIONS",
    "PAGES",
    "SHAPES",
    "SHOPS",
    "SIGNS",
    "TEXTS",
    "TITLES",
    "TOLD_BY",
    "WISHES",
    "WORDINGS",
    "Wording",
    "asked",
    "wordings",
]


#: What is asked for of a place on the screen, as the official grounding prompt says it.
BBOX = " Output its bbox [x1, y1, x2, y2] from 0.0000 to 1.0000."

#: What is asked for of a place where one point is enough.
POINT = " Output its point [x, y] from 0.0000 to 1.0000."

#: Which side of a thing is meant, each in words that name exactly one neighbour.
SIDES = {
    "up": ("directly above", "just above", "right on top of"),
    "down": ("directly below", "just below", "right beneath"),
    "left": ("directly left of", "immediately to the left of", "just left of"),
    "right": ("directly right of", "immediately to the right of", "just right of"),
}


@dataclass(frozen=True)
class Wording:
    """The sentences of one kind of question, five of them held out, and what always follows."""

    train: tuple[str, ...]
    held_out: tuple[str, ...]
    then: str = ""


@dataclass(frozen=True)
class Manner:
    """A manner of asking: words around a sentence, whose first letter ``joined`` makes small."""

    before: str = ""
    after: str = ""
    joined: bool = False

    def __call__(self, sentence: str) -> str:
        """The sentence in this manner."""
        if self.joined:
            sentence = sentence[0].lower() + sentence[1:]
        return f"{self.before}{sentence}{self.after}"


#: Manners of training, the plain one first, and those that are held out.
MANNERS = (
    Manner(),
    Manner("Please: ", joined=True),
    Manner(after=" Thank you."),
    Manner("Tell me, ", joined=True),
    Manner("Look at the picture. "),
    Manner(after=" Answer in one word.", joined=False),
)
HELD_OUT_MANNERS = (
    Manner("Hi! "),
    Manner("I would like to know: ", joined=True),
    Manner(after=" Please answer."),
)

_TASK = (
    (
        "Where do I click to {wish}?",
        "What do I press to {wish}?",
        "I want to {wish}.",
        "Which element do I need to {wish}?",
        "Where can I {wish}?",
        "Show me where to {wish}.",
    ),
    (
        "How do I {wish}?",
        "I would like to {wish}. Where is that?",
        "Point to what I need to {wish}.",
        "What is there to {wish}?",
        "Help me to {wish}.",
    ),
)

#: Kind of question -> its sentences.
WORDINGS: dict[str, Wording] = {
    "value": Wording(
        (
            "What is the value of {label}?",
            "What is the value for {label}?",
            "How much is {label}?",
            "Which value does {label} have?",
            "What number belongs to {label}?",
            "Read the value of {label}.",
            "Give the value of {label}.",
            "What does the chart show for {label}?",
        ),
        (
            "What value is shown for {label}?",
            "How high is {label}?",
            "State the number for {label}.",
            "What is {label} at?",
            "Name the value that {label} has.",
        ),
    ),
    "after": Wording(
        (
            "Which word comes after {word}?",
            "What comes after {word}?",
            "What stands right of {word}?",
            "Which word follows {word}?",
            "Read the word after {word}.",
            "Name the word after {word}.",
            "What is written after {word}?",
            "Which word is next to {word}, on its right?",
        ),
        (
            "What follows {word}?",
            "Give the word that comes next after {word}.",
            "Which one stands behind {word}?",
            "To the right of {word}, what can you read?",
            "What is the next word after {word}?",
        ),
    ),
    "share": Wording(
        (
            "What share is {label}?",
            "How many percent is {label}?",
            "What is the share of {label}?",
            "How large is the slice {label}?",
            "What percentage does {label} have?",
            "Read the share of {label}.",
            "Give the percentage of {label}.",
            "How much of the pie is {label}?",
        ),
        (
            "What percentage is {label}?",
            "How big a share does {label} take?",
            "State the share of {label}.",
            "Which percentage belongs to {label}?",
            "How many percent go to {label}?",
        ),
    ),
    "walk": Wording(
        (
            "Start at {start} and move right by the number on the bar, after F comes A. "
            "Where are you after {steps} moves?",
            "Each bar says how far to move right. Start at {start}. Where are you after {steps} moves?",
            "Begin at {start}. Every bar tells how many bars to go right. Where do {steps} moves lead?",
            "From {start}, move right as far as each bar says, {steps} times. Where do you end?",
            "Go right from {start} by the number on the bar, {steps} times. Which letter is it?",
            "Make {steps} moves to the right from {start}, each as far as the bar says. Where are you?",
        ),
        (
            "Starting at {start}, take {steps} moves to the right by the bars' numbers. Where are you then?",
            "You are at {start}. Move right by each bar's number {steps} times. Where are you?",
            "The bars tell how far to go right. Where are you {steps} moves after {start}?",
            "Where do you end after {steps} moves to the right from {start}, as the bars say?",
            "Name the letter that {steps} moves from {start} lead to, each as far right as its bar says.",
        ),
    ),
    "cell": Wording(
        (
            "What is the value of {row} in {column}?",
            "How much is {row} in {column}?",
            "What does the table say for {row} in {column}?",
            "Read the cell of {row} and {column}.",
            "Which number is in row {row}, column {column}?",
            "Give the value for {row} in {column}.",
            "In {column}, what is {row}?",
            "What number does {row} have in {column}?",
        ),
        (
            "What is {row} for {column}?",
            "State the number of {row} under {column}.",
            "Under {column}, how much is {row}?",
            "Which value does {row} have in {column}?",
            "Look up {row} in {column}.",
        ),
    ),
    "length": Wording(
        (
            "What is the {length} of the {figure}?",
            "How long is the {length} of the {figure}?",
            "Read the {length} of the {figure}.",
            "Give the {length} of the {figure}.",
            "Which {length} does the {figure} have?",
            "What {length} does the {figure} have?",
            "How much is the {length} of the {figure}?",
            "What does the picture say about the {length} of the {figure}?",
        ),
        (
            "State the {length} of the {figure}.",
            "How large is the {length} of the {figure}?",
            "The {figure} has which {length}?",
            "What is the {figure} like in {length}?",
            "Find the {length} of the {figure}.",
        ),
    ),
    "chain": Wording(
        (
            "Work from left to right and keep only the last digit after each step. What is left?",
            "Evaluate from left to right, keeping only the last digit. What is the result?",
            "Calculate from left to right and keep the last digit of every step. What do you get?",
            "Step by step from left to right, keep only the last digit. What is the result?",
            "Go from left to right and after each step keep its last digit. What is the answer?",
            "Compute this from left to right, only the last digit each time. What is left?",
        ),
        (
            "What is left if you work from left to right and always keep the last digit?",
            "Do the steps from left to right, dropping all but the last digit. What is the result?",
            "What do you get from left to right when only the last digit is kept?",
            "From left to right, always the last digit alone: what is the result?",
            "Solve it from left to right and keep just the last digit each time.",
        ),
    ),
    "find": Wording(
        (
            "Locate the {button} button.",
            "Find the {button} button.",
            "Where is {button}?",
            "Where is the {button} button?",
            "Show me the {button} button.",
            "Point to {button}.",
            "I want to click {button}.",
            "Which button says {button}?",
        ),
        (
            "Where do I click for {button}?",
            "Give the place of the {button} button.",
            "Search for {button}.",
            "Click on {button}.",
            "Where can I find {button}?",
        ),
        BBOX,
    ),
    "find_icon": Wording(
        (
            "Locate the {thing}.",
            "Find the {thing}.",
            "Where is the {thing}?",
            "Show me the {thing}.",
            "Point to the {thing}.",
            "I want to click the {thing}.",
        ),
        (
            "Where do I click for the {thing}?",
            "Give the place of the {thing}.",
            "Search for the {thing}.",
            "Click on the {thing}.",
            "Where can I find the {thing}?",
        ),
        BBOX,
    ),
    "state": Wording(
        (
            "Is {option} on or off?",
            "Is the {option} setting on or off?",
            "What is the state of {option}?",
            "Is {option} switched on or off?",
            "Which state does {option} have, on or off?",
            "Tell whether {option} is on or off.",
            "How is {option} set?",
            "Look up whether {option} is on or off.",
        ),
        (
            "On or off: {option}?",
            "Is the switch of {option} on or off?",
            "What is {option} set to?",
            "Say if {option} is on or off.",
            "In which state is {option}?",
        ),
    ),
    "links": Wording(
        (
            "Start at {start} and follow the link {steps} times. On which page do you end?",
            "Follow the links from {start} {steps} times. Which page is it?",
            "Begin on {start} and click the link {steps} times. Where do you end?",
            "From {start}, follow {steps} links. Which page do you reach?",
            "Go {steps} links on from {start}. On which page are you?",
            "Which page do you reach when you follow the link {steps} times from {start}?",
        ),
        (
            "You are on {start}. Follow the link {steps} times. Which page is it?",
            "Starting with {start}, where do {steps} links lead?",
            "Where are you after {steps} links from {start}?",
            "Name the page that is {steps} links after {start}.",
            "Click on from {start} {steps} times. Which page do you see?",
        ),
    ),
    "colour": Wording(
        (
            "What colour is the {shape}?",
            "Which colour is the {shape}?",
            "Which colour does the {shape} have?",
            "What is the colour of the {shape}?",
            "Name the colour of the {shape}.",
            "In which colour is the {shape}?",
            "Give the colour of the {shape}.",
            "The {shape} is which colour?",
        ),
        (
            "What colour does the {shape} have?",
            "State the colour of the {shape}.",
            "Of which colour is the {shape}?",
            "How is the {shape} coloured?",
            "What colour was used for the {shape}?",
        ),
    ),
    "shape": Wording(
        (
            "Which shape is {colour}?",
            "What is the {colour} shape?",
            "What shape is {colour}?",
            "Name the {colour} shape.",
            "Which of the shapes is {colour}?",
            "What is {colour}?",
            "Which shape has the colour {colour}?",
            "The {colour} thing is which shape?",
        ),
        (
            "What kind of shape is {colour}?",
            "State which shape is {colour}.",
            "Which thing is {colour}?",
            "Which one is {colour}?",
            "What shape has the colour {colour}?",
        ),
    ),
    "count": Wording(
        (
            "How many {things} are there?",
            "How many {things} do you see?",
            "Count the {things}.",
            "How many {things} are in the picture?",
            "What is the number of {things}?",
            "How many {things} can you find?",
            "Give the number of {things}.",
            "How many of the things are {things}?",
        ),
        (
            "How many {things} does the picture have?",
            "State how many {things} there are.",
            "What number of {things} is there?",
            "How many {things} were drawn?",
            "Tell how many {things} you count.",
        ),
    ),
    "relation": Wording(
        (
            "What is {side} the {thing}?",
            "Which shape is {side} the {thing}?",
            "What do you see {side} the {thing}?",
            "Name what is {side} the {thing}.",
            "Which thing is {side} the {thing}?",
            "What stands {side} the {thing}?",
            "Give the shape {side} the {thing}.",
            "What can be found {side} the {thing}?",
        ),
        (
            "What lies {side} the {thing}?",
            "State what is {side} the {thing}.",
            "Find the shape {side} the {thing}.",
            "What was drawn {side} the {thing}?",
            "Which neighbour is {side} the {thing}?",
        ),
    ),
    "change": Wording(
        (
            "What changed in the second picture?",
            "Which shape changed its colour, and to what?",
            "What is different in the second picture?",
            "What changed from the first to the second picture?",
            "Which shape has another colour now, and which?",
            "Name the shape that changed, with its new colour.",
            "Compare the pictures. What changed?",
            "What has a new colour in the second picture?",
        ),
        (
            "What is not the same in the second picture?",
            "Which shape is different now?",
            "State what changed between the pictures.",
            "What changed its colour?",
            "Find the change in the second picture.",
        ),
    ),
    "sign": Wording(
        (
            "What does the {colour} sign say?",
            "Read the {colour} sign.",
            "What is written on the {colour} sign?",
            "Which word is on the {colour} sign?",
            "What can you read on the {colour} sign?",
            "Give the word on the {colour} sign.",
            "What word does the {colour} sign show?",
            "Tell what the {colour} sign says.",
        ),
        (
            "What is the text of the {colour} sign?",
            "State the word on the {colour} sign.",
            "What stands on the {colour} sign?",
            "Which text does the {colour} sign have?",
            "The {colour} sign says what?",
        ),
    ),
    "series": Wording(
        (
            "What is the value of {series} in {label}?",
            "How much is {series} in {label}?",
            "What does the chart show for {series} in {label}?",
            "Read the value of {series} for {label}.",
            "Give {series} in {label}.",
            "In {label}, how much is {series}?",
            "Which value does {series} have for {label}?",
        ),
        (
            "What is {series} for {label}?",
            "State {series} in {label}.",
            "At {label}, what is the value of {series}?",
            "What number does {series} reach in {label}?",
            "Look up {series} for {label}.",
        ),
    ),
    "point": Wording(
        (
            "What is the value of point {letter}?",
            "At which height is point {letter}?",
            "How high is point {letter}?",
            "Read the value of point {letter}.",
            "Which value does point {letter} have?",
            "Give the height of point {letter}.",
            "What does the axis say for point {letter}?",
        ),
        (
            "Where on the axis is point {letter}?",
            "State the value of point {letter}.",
            "What is the height of point {letter}?",
            "Point {letter} has which value?",
            "Find the value that belongs to point {letter}.",
        ),
    ),
    "reads": Wording(
        (
            "What is written here?",
            "What does it say?",
            "Read the text.",
            "Which text do you see?",
            "What can you read?",
            "Give the text of the picture.",
            "What does the picture say?",
        ),
        (
            "What is the text?",
            "State what is written.",
            "Which word or number is this?",
            "What stands here?",
            "Tell what you can read here.",
        ),
    ),
    "ink": Wording(
        (
            "What is written in {colour}?",
            "What does the {colour} text say?",
            "Read the {colour} text.",
            "Which text is {colour}?",
            "What can you read in {colour}?",
            "Give the text in {colour}.",
            "What do the {colour} letters say?",
        ),
        (
            "What is the {colour} text?",
            "State what is written in {colour}.",
            "What stands there in {colour}?",
            "The {colour} text says what?",
            "Tell what the {colour} writing says.",
        ),
    ),
    "chosen": Wording(
        (
            "Which {what} is chosen?",
            "What is the chosen {what}?",
            "Which {what} is selected?",
            "Name the chosen {what}.",
            "Which {what} is marked?",
            "Read the {what} that is chosen.",
            "Which of them is the chosen {what}?",
        ),
        (
            "What is the selected {what}?",
            "State which {what} is marked.",
            "Which {what} was chosen here?",
            "Find the {what} that is selected.",
            "The chosen {what} is which?",
        ),
    ),
    "number": Wording(
        (
            "What is the {colour} number?",
            "Which number is {colour}?",
            "Read the {colour} number.",
            "Which number is written in {colour}?",
            "Give the number in {colour}.",
            "What number do you see in {colour}?",
            "What does the {colour} number say?",
        ),
        (
            "Which number has the colour {colour}?",
            "State the {colour} number.",
            "What number was written in {colour}?",
            "The {colour} number is what?",
            "Look up the number in {colour}.",
        ),
    ),
    "arrows": Wording(
        (
            "Start at {start} and follow the arrows {steps} times. Where do you end?",
            "Follow the arrows from {start} {steps} times. Which letter is it?",
            "Begin at {start} and go with the arrows {steps} times. Where are you?",
            "From {start}, follow {steps} arrows. Which letter do you reach?",
            "Go {steps} arrows on from {start}. On which letter are you?",
            "Which letter do you reach when you follow the arrows {steps} times from {start}?",
        ),
        (
            "You are at {start}. Follow the arrow {steps} times. Which letter is it?",
            "Starting with {start}, where do {steps} arrows lead?",
            "Where are you after {steps} arrows from {start}?",
            "Name the letter that is {steps} arrows after {start}.",
            "Move with the arrows from {start} {steps} times. Which letter do you see?",
        ),
    ),
    "caption": Wording(
        (
            "Describe the picture.",
            "What do you see?",
            "What is in the picture?",
            "Write a caption.",
            "Say what is where.",
            "Tell what the picture shows.",
        ),
        (
            "What is shown here?",
            "Describe what you see.",
            "Give a short description.",
            "What does the scene contain?",
            "Put the picture into words.",
        ),
    ),
    "price": Wording(
        (
            "How much is the {item}?",
            "What does the {item} cost?",
            "What is the price of the {item}?",
            "Read the price of the {item}.",
            "How much was paid for the {item}?",
            "Give the price of the {item}.",
        ),
        (
            "Which price does the {item} have?",
            "State what the {item} costs.",
            "How expensive is the {item}?",
            "Look up the {item} on the receipt.",
            "What was charged for the {item}?",
        ),
    ),
    "total": Wording(
        (
            "What is the total?",
            "How much is the total?",
            "What does the whole bill say?",
            "Read the total of the receipt.",
            "Which total is printed?",
            "Give the total.",
        ),
        (
            "Which total do you see?",
            "State the total of the bill.",
            "How much has to be paid?",
            "Look up the total.",
            "What number stands beside the total?",
        ),
    ),
    "date": Wording(
        (
            "What is the date?",
            "Which date is on the receipt?",
            "When was this bought?",
            "Read the date.",
            "Of which day is the receipt?",
            "Give the date of the receipt.",
        ),
        (
            "What date do you see?",
            "State the date of the bill.",
            "When was the bill printed?",
            "Look up the date.",
            "On which date was this paid?",
        ),
    ),
    "together": Wording(
        (
            "What do the items cost together?",
            "Add up the prices. What is the sum?",
            "What is the sum of the prices?",
            "How much do all items cost?",
            "Sum the prices of the items.",
            "What should the total be?",
        ),
        (
            "What do all prices add up to?",
            "How much is it when you add the prices?",
            "State the sum of all items.",
            "Calculate the right total.",
            "What would the items cost in all?",
        ),
    ),
    "adds_up": Wording(
        (
            "Is the total right?",
            "Check the sum. Is it right?",
            "Does the total fit the prices?",
            "Is the total the sum of the prices?",
            "Do the prices add up to the total?",
            "Was the bill added up well?",
        ),
        (
            "Can this total be true?",
            "Is the bill correct?",
            "Verify the total. Is it right?",
            "Are the prices summed correctly?",
            "Does the bill add up?",
        ),
    ),
    "field": Wording(
        (
            "What is the {field}?",
            "Which {field} is given?",
            "Read the {field}.",
            "Find the {field}.",
            "Give the {field}.",
            "What does it say about the {field}?",
        ),
        (
            "Which {field} does the document name?",
            "State the {field}.",
            "Look up the {field}.",
            "What {field} was written down?",
            "What stands there for the {field}?",
        ),
    ),
    "solve": Wording(
        (
            "Solve task {letter}.",
            "What is the result of task {letter}?",
            "Work out task {letter}.",
            "Calculate task {letter}.",
            "What comes out of task {letter}?",
            "Do task {letter} of the sheet.",
        ),
        (
            "What is the answer to task {letter}?",
            "Find the result of task {letter}.",
            "Task {letter}: what do you get?",
            "Help me with task {letter}.",
            "How much is task {letter}?",
        ),
    ),
    "area": Wording(
        (
            "What is the area of the {figure}?",
            "How large is the area of the {figure}?",
            "Calculate the area of the {figure}.",
            "Work out the area of the {figure}.",
            "Which area does the {figure} have?",
            "Give the area of the {figure}.",
        ),
        (
            "Find the area of the {figure}.",
            "How much area does the {figure} cover?",
            "State the area of the {figure}.",
            "The {figure} has which area?",
            "How many unit squares fill the {figure}?",
        ),
    ),
    "perimeter": Wording(
        (
            "What is the perimeter of the {figure}?",
            "How long is the perimeter of the {figure}?",
            "Calculate the perimeter of the {figure}.",
            "Work out the perimeter of the {figure}.",
            "Which perimeter does the {figure} have?",
            "Give the perimeter of the {figure}.",
        ),
        (
            "Find the perimeter of the {figure}.",
            "How far is it once around the {figure}?",
            "State the perimeter of the {figure}.",
            "The {figure} has which perimeter?",
            "How long are all sides of the {figure} together?",
        ),
    ),
    "varies": Wording(
        (
            "What changes: the number, the colour or the shape?",
            "What is different from picture to picture: number, colour or shape?",
            "Do the number, the colour or the shape change?",
            "Which changes, the number, the colour or the shape?",
            "Compare the pictures. What changes: number, colour or shape?",
        ),
        (
            "What varies: the number, the colour or the shape?",
            "Number, colour or shape: what changes?",
            "Is it the number, the colour or the shape that changes?",
            "State what changes: the number, the colour or the shape.",
            "What is not the same in all pictures: number, colour or shape?",
        ),
    ),
    "sorted": Wording(
        (
            "Put the pictures in order, from few to many.",
            "Which order goes from few to many?",
            "Order the pictures from few to many.",
            "Sort the pictures from few to many.",
            "In which order do the pictures go from few to many?",
        ),
        (
            "How are the pictures ordered from few to many?",
            "Arrange the pictures from few to many.",
            "From few to many: what is the order?",
            "Name the pictures from few to many.",
            "Bring the pictures in order, few before many.",
        ),
    ),
    "next_number": Wording(
        (
            "How many {things} come next?",
            "How many {things} are in the next picture?",
            "What is the next number of {things}?",
            "How many {things} will there be?",
            "Go on: how many {things} follow?",
        ),
        (
            "How many {things} should picture 4 have?",
            "Predict the number of {things}.",
            "What number of {things} follows?",
            "How many {things} does the row go on with?",
            "State how many {things} come after these.",
        ),
    ),
    "next_kind": Wording(
        (
            "Which {what} comes next?",
            "What is the next {what}?",
            "Which {what} does the next picture have?",
            "Which {what} will it be?",
            "Go on: which {what} follows?",
        ),
        (
            "Which {what} should picture 4 have?",
            "Predict the {what}.",
            "What {what} follows?",
            "With which {what} does the row go on?",
            "State the {what} that comes after these.",
        ),
    ),
    "task": Wording(*_TASK, BBOX),
    "task_point": Wording(*_TASK, POINT),
}


def wordings(kind: str, *, held_out: bool = False) -> Iterator[str]:
    """All sentences of a kind of question in all manners, with their gaps; lower case is left to `asked`."""
    wording = WORDINGS[kind]
    manners = HELD_OUT_MANNERS if held_out else _manners(kind)
    for sentence in wording.held_out if held_out else wording.train:
        for manner in (MANNERS[0], *manners) if held_out else manners:
            yield manner(sentence) + wording.then


#: Kinds of questions whose answer is a place, a sentence, an order, or comes after steps.
_NO_WORD = (
    "find", "find_icon", "relation", "change", "walk", "links", "arrows", "chain", "caption", "date",
    "together", "adds_up", "solve", "area", "perimeter", "varies", "sorted", "next_number", "next_kind",
    "task", "task_point",
)  # fmt: skip


def _manners(kind: str) -> tuple[Manner, ...]:
    """Manners that suit a kind of question: a box, or steps, are no single word."""
    return MANNERS[:-1] if kind in _NO_WORD else MANNERS


def asked(kind: str, names: Mapping[str, str], rng: random.Random, *, held_out: bool = False) -> str:
    """A question of a kind in one of its wordings: half of them plain, a fifth in lower case.

    Args:
        kind: of `WORDINGS`.
        names: what fills the gaps.
        rng: chooses.
        held_out: whether to ask in the sentences and manners that training never uses.
    """
    wording = WORDINGS[kind]
    sentence = rng.choice(wording.held_out if held_out else wording.train)
    manner = MANNERS[0]
    if rng.random() < 0.4:
        manner = rng.choice(HELD_OUT_MANNERS if held_out else _manners(kind))
    filled = dict(names)
    if "side" in filled:
        filled["side"] = rng.choice(SIDES[filled["side"]])
    # Gaps are filled first, so that a name at the start keeps its capital only where nothing goes before it.
    text = manner(sentence.format_map(filled)) + wording.then
    return text.lower() if rng.random() < 0.2 else text


COLOURS = {
    "red": (214, 48, 49),
    "orange": (238, 130, 28),
    "yellow": (240, 205, 40),
    "green": (46, 158, 75),
    "blue": (45, 108, 200),
    "purple": (136, 72, 170),
    "pink": (240, 130, 180),
    "grey": (120, 124, 130),
}

SHAPES = ("circle", "square", "triangle", "star", "diamond", "cross")

LETTERS = tuple("ABCDEFGHJKLMNPRSTUVXYZ")

#: Category names of charts and tables, by theme; names of one theme go together.
CATEGORIES = {
    "months": ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    "days": ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"),
    "drinks": ("Tea", "Milk", "Cola", "Juice", "Water", "Beer"),
    "fruit": ("Apple", "Pear", "Plum", "Kiwi", "Lime", "Fig"),
    "places": ("Rome", "Oslo", "Lima", "Cairo", "Paris", "Delhi"),
    "animals": ("Cat", "Dog", "Horse", "Goat", "Duck", "Fox"),
}

#: Buttons of the drawn screens.
BUTTONS = ("Save", "Open", "Send", "Print", "Close", "Copy", "Paste", "Undo", "Help", "Login", "Next", "Back")

#: Switches and boxes of the drawn settings pages.
OPTIONS = ("Wifi", "Sound", "Alarm", "Sync", "Video", "Mouse", "Camera", "Night")

#: Pages that link to one another.
PAGES = ("Home", "Files", "Mail", "News", "Shop", "Blog", "Music", "Photos")

SIGNS = (
    "EXIT", "STOP", "OPEN", "SALE", "TAXI", "BANK", "CAFE", "HOTEL", "PARK", "FIRE",
    "BUS", "TOUR", "LIFT", "CASH", "FOOD", "POOL", "ZOO", "GATE", "MUSIC", "BOOKS",
)  # fmt: skip

#: Shops of the drawn receipts.
SHOPS = ("CAFE", "FOOD", "HOTEL", "PARK", "POOL", "ZOO")

#: Fields of the drawn documents, and what can be written in each; a number is a room or an hour.
FIELDS = {
    "city": CATEGORIES["places"],
    "day": CATEGORIES["days"],
    "month": CATEGORIES["months"],
    "drink": CATEGORIES["drinks"],
    "fruit": CATEGORIES["fruit"],
    "pet": CATEGORIES["animals"],
    "seat": LETTERS,
    "room": tuple(str(n) for n in range(1, 100)),
}

#: Name of a button or an icon -> what somebody may want to do with it.
WISHES = {
    "Save": ("keep my work", "store this file"),
    "Open": ("see another file", "load a file"),
    "Send": ("hand this letter on", "let the letter go out"),
    "Print": ("put this on paper", "get a paper copy"),
    "Close": ("end this window", "make this window go away"),
    "Copy": ("have this text twice", "take this text along"),
    "Paste": ("put in the text I took", "insert my text"),
    "Undo": ("take back a mistake", "reverse my last step"),
    "Help": ("learn how this works", "get some advice"),
    "Login": ("enter my account", "sign in"),
    "Next": ("see the following page", "go forward"),
    "Back": ("see the page before", "return"),
    "Home": ("see the first page", "go to the start"),
    "Mail": ("read my letters", "see who wrote to me"),
    "Music": ("hear a song", "listen to something"),
    "Camera": ("take a photo", "make a picture"),
    "Alarm": ("wake up at seven", "be woken"),
    "Video": ("watch a film", "play the film"),
}

TITLES = ("Sales", "Visits", "Score", "Output", "Price", "Orders")

OPERATORS = ("+", "-", "×")

#: Kinds of things; class 0 is the empty background.
KINDS = (
    "nothing", "text", "bar", "point", "slice", "cell", "number", "operator", "side", "button", "on", "off",
    "field", "link", "icon", "sign", "up", "down", "left", "right", *SHAPES,
)  # fmt: skip

TEXTS = (
    *(str(n) for n in range(100)),
    *LETTERS,
    *(name for names in CATEGORIES.values() for name in names),
    *BUTTONS,
    *OPTIONS,
    *PAGES,
    *(s for s in SIGNS),
    *TITLES,
    *OPERATORS,
)

#: What a length belongs to in the drawn geometry.
MEASURES = ("width", "height", "radius", "rectangle")

#: Every name that can tell what a patch shows.
NAMES = tuple(dict.fromkeys((*TEXTS, *KINDS, *COLOURS, *MEASURES)))

#: What can be told of a patch, each by a name: the text on it, the kind of thing, its colour, the
#: label that it belongs to (a bar's category, a cell's row) and a second one (a cell's column), the
#: edges of an element in steps of four pixels, and the colours of a thing's neighbours.
ASPECTS = (
    "text", "kind", "colour", "key", "second", "x1", "y1", "x2", "y2", "left", "right", "above", "below",
)  # fmt: skip

#: The names that can tell an aspect, where not all can.
TOLD_BY = {"text": TEXTS, "kind": KINDS, "colour": tuple(COLOURS)}

#: Single characters that are told of a patch; 0 is none.
CHARACTERS = (
    "", *"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", *".,:;!?%$&/()+-=#@'",
)  # fmt: skip
